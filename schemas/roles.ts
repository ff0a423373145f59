// Owns what an operator may be. Who is what stands in the database and in the PDP's login file, never in a bundle:
// whoever may push policies would be an admin. No I/O.

/**
 * `admin`: users, agents, grants, PEPs, roles. `policy-author`: which bundle decides. `credential-admin`: upstream
 * credentials. `approver`: approvals; may revoke and offboard, too, for that is what is needed at night. `auditor`:
 * alone sees argument values; decisions whole, acts, fsck. `viewer`: lists, without argument values. Every role may do
 * what a viewer may.
 */
export const OPERATOR_ROLES = [
  'admin',
  'policy-author',
  'credential-admin',
  'approver',
  'auditor',
  'viewer',
] as const
export type OperatorRole = (typeof OPERATOR_ROLES)[number]
