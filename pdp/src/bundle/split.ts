// Owns cutting a .cedar file into its policies, so that each keeps its place in the file. Knows of Cedar only what
// that takes: strings, comments, and that a policy ends at `;`. Whether a piece is a policy is for Cedar to say.

/** One policy: its text from the first annotation or keyword to the `;`, and where that lies in the file. */
export type PolicyText = { readonly text: string; readonly offset: number }

const TOKEN = /\/\/[^\n]*|"(?:[^"\\]|\\[^])*"?|;|[^\s;"/]+|\/|\s+/g

/** The policies of `text`, in order. What follows the last `;`, if it is more than comments, is a piece as well. */
export function splitPolicies(text: string): PolicyText[] {
  const pieces: PolicyText[] = []
  let start: number | undefined
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token.startsWith('//') || token.trim() === '') continue
    start ??= index
    if (token !== ';') continue
    pieces.push({ text: text.slice(start, index + 1), offset: start })
    start = undefined
  }
  if (start !== undefined) pieces.push({ text: text.slice(start), offset: start })
  return pieces
}

/** Cedar counts bytes of UTF-8, JavaScript UTF-16 units: the unit at which byte `offset` of `text` begins. */
export function unitOffset(text: string, offset: number): number {
  return Buffer.from(text).subarray(0, offset).toString().length
}

/** The comments of `text`, in order, without the white space that ends them. */
export function commentsIn(text: string): string[] {
  return [...text.matchAll(TOKEN)].flatMap(([token]) =>
    token.startsWith('//') ? [token.trimEnd()] : [],
  )
}
