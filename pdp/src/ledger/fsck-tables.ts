// Owns the checks between tables: what stands in one must stand in the other.
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Check, Finding } from './fsck-row.ts'

/** Findings of one kind told one by one; whoever has more has one trouble, not thousands. */
const FINDINGS_MAX = 1_000

type CrossCheck = { readonly check: Check; readonly message: string; readonly from: string }

const CHECKS: readonly CrossCheck[] = [
  {
    check: 'pending',
    message: 'the record is not queued for the log',
    from: `select r.id from record r
      left join pending p on p.id = r.id and p.leaf_hash = r.leaf_hash
      where p.id is null`,
  },
  {
    check: 'pending',
    message: 'a record is queued for the log that does not exist, or with another leaf',
    from: `select p.id from pending p
      left join record r on r.id = p.id and r.leaf_hash = p.leaf_hash
      where r.id is null`,
  },
  {
    check: 'pending',
    message: 'the record is queued for the log more than once',
    from: 'select id from pending group by id having count(*) > 1',
  },
  {
    check: 'detail',
    message: 'there is a detail without its record',
    from: 'select d.id from record_detail d left join record r on r.id = d.id where r.id is null',
  },
  {
    check: 'bundle',
    message: 'the decision names a bundle that is not kept',
    from: `select (array_agg(r.id))[1] as id from record r left join bundle b on b.id = r.bundle
      where r.kind = 'decision' and b.id is null group by r.bundle`,
  },
  {
    check: 'bundle',
    message: 'the bundle kept under this id has another content',
    from: `select id from bundle where encode(sha256(convert_to(content, 'UTF8')), 'hex') <> id`,
  },
]

export async function crossChecks(sql: Sql): Promise<Finding[]> {
  const branches = CHECKS.map(({ from }, number) => {
    return `(select ${number} as number, id::text from (${from}) as found limit ${FINDINGS_MAX})`
  })
  const rows = await sql.query(branches.join(' union all '))
  return rows.flatMap((row) => {
    const found = CHECKS[Number(row['number'])]
    if (found === undefined) return []
    return [{ id: row['id'] as string, check: found.check, message: found.message }]
  })
}
