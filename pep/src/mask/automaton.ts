// Owns walking a text with many forms at once: Aho and Corasick's automaton, which looks at each byte a bounded number of
// times, whatever the forms and the text are. Pure.

export type Automaton = {
  /** The state after `byte`; 0 is the first one, and that no form has begun. */
  readonly next: (state: number, byte: number) => number
  /** Of each state: how many bytes before it begin a form. */
  readonly begun: Int32Array
  /** Of each state: how long the longest form is that ends before it; 0 where none does. */
  readonly ended: Int32Array
}

type Trie = {
  readonly byte: Uint8Array
  readonly child: Int32Array
  readonly sibling: Int32Array
  readonly begun: Int32Array
  readonly ended: Int32Array
  /** States, of the first one down. */
  readonly count: number
}

export function createAutomaton(forms: readonly Uint8Array[]): Automaton {
  const trie = trieOf(forms)
  const { byte, child, sibling, begun, ended } = trie
  /** The state of the longest end of what led to a state that begins a form too. */
  const shorter = new Int32Array(trie.count)
  const next = (state: number, one: number): number => {
    for (let from = state; ; from = shorter[from] as number) {
      let to = child[from] as number
      while (to !== 0 && byte[to] !== one) to = sibling[to] as number
      if (to !== 0 || from === 0) return to
    }
  }
  const queue = new Int32Array(trie.count)
  for (let [at, end] = [0, 1]; at < end; at += 1) {
    const state = queue[at] as number
    for (let to = child[state] as number; to !== 0; to = sibling[to] as number) {
      if (state !== 0) shorter[to] = next(shorter[state] as number, byte[to] as number)
      ended[to] = Math.max(ended[to] as number, ended[shorter[to] as number] as number)
      queue[end] = to
      end += 1
    }
  }
  return { next, begun, ended }
}

function trieOf(forms: readonly Uint8Array[]): Trie {
  const size = forms.reduce((sum, { length }) => sum + length, 1)
  const byte = new Uint8Array(size)
  const [child, sibling] = [new Int32Array(size), new Int32Array(size)]
  const [begun, ended] = [new Int32Array(size), new Int32Array(size)]
  let count = 1
  for (const form of forms) {
    let state = 0
    for (const one of form) {
      let to = child[state] as number
      while (to !== 0 && byte[to] !== one) to = sibling[to] as number
      if (to === 0) {
        to = count
        count += 1
        byte[to] = one
        sibling[to] = child[state] as number
        begun[to] = (begun[state] as number) + 1
        child[state] = to
      }
      state = to
    }
    ended[state] = form.length
  }
  return { byte, child, sibling, begun, ended, count }
}
