// Owns computing something of an object once, for what is asked with every decision. Keeps no object that nobody else has.

/** `compute` must say the same of the same object, always. */
export function onceEach<Key extends object, Value>(
  compute: (key: Key) => Value,
): (key: Key) => Value {
  const known = new WeakMap<Key, { readonly value: Value }>()
  return (key) => {
    const found = known.get(key) ?? { value: compute(key) }
    known.set(key, found)
    return found.value
  }
}
