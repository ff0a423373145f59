// What a released credential must not come back as: its secrets, and what of a header that was set whole is the secret.
import { expect, test } from 'vitest'
import { Credential } from './credential.ts'
import { bearer } from './testing.ts'

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const set = (name: string, value: string) =>
  new Credential({ ...bearer('x'), headers: { [name]: value }, secrets: [value] }).masker()

test.each([
  { name: 'authorization', value: 'Bearer canary-token', said: 'canary-token' },
  { name: 'authorization', value: 'Token canary-token', said: 'canary-token' },
  { name: 'x-api-key', value: 'bearer canary-token', said: 'canary-token' },
  { name: 'authorization', value: basic('somebody:canary-password'), said: 'somebody:canary-password' },
  { name: 'authorization', value: basic('somebody:canary-password'), said: 'canary-password' },
  { name: 'authorization', value: basic('somebody:canary-password'), said: basic('somebody:canary-password').slice(6) },
])('of `$name: $value`, $said is a secret', ({ name, value, said }) => {
  expect(set(name, value).isIn(`it is ${said}.`)).toBe(true)
}) // biome-ignore format: a table

test.each([
  { name: 'authorization', value: 'Bearer x', said: 'x marks it' },
  { name: 'authorization', value: basic('somebody:canary-password'), said: 'somebody' },
  { name: 'x-team', value: 'hello everybody', said: 'everybody' },
])('of `$name: $value`, $said is none', ({ name, value, said }) => {
  expect(set(name, value).isIn(said)).toBe(false)
})
