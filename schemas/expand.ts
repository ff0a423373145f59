// Owns the expansion of `${NAME}` in bundle settings (url, args, env, cwd, derive roots). Pure: the environment is
// passed in. Never reaches another variable than PORT, CEDARGATE_HOME and CEDARGATE_SERVER_*.

export type Expansion =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly name: string; readonly message: string }

/** Whether a bundle may name this variable at all: a bundle must not read a service's other secrets. */
export function isExpandable(name: string): boolean {
  return /^(?:PORT|CEDARGATE_HOME|CEDARGATE_SERVER_[A-Z0-9_]+)$/.test(name)
}

/**
 * `text` with every `${NAME}` replaced from `env`. The first variable that is unset, empty or not expandable is the
 * answer instead, named. A `${` without its `}` is an error too. There is no escape for a literal `${`.
 * What a variable holds is not expanded again.
 */
export function expandVariables(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): Expansion {
  let value = ''
  let from = 0
  for (let open = text.indexOf('${'); open !== -1; open = text.indexOf('${', from)) {
    const close = text.indexOf('}', open)
    if (close === -1) return refuse('', '`${` is never closed')
    const name = text.slice(open + 2, close)
    if (!isExpandable(name)) {
      return refuse(
        name,
        `\`${name}\` may not be used here; use PORT, CEDARGATE_HOME or CEDARGATE_SERVER_…`,
      )
    }
    const found = Object.hasOwn(env, name) ? env[name] : undefined
    if (found === undefined || found === '') return refuse(name, `\`${name}\` is not set`)
    value += text.slice(from, open) + found
    from = close + 1
  }
  return { ok: true, value: value + text.slice(from) }
}

/** Every variable named in `text`, in order; what stands after an unclosed `${` is ignored. */
export function variablesIn(text: string): string[] {
  return [...text.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1] ?? '')
}

function refuse(name: string, message: string): Expansion {
  return { ok: false, name, message }
}
