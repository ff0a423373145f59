// What policies see of what a server asks of its client, and what is refused before they see it.
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { itemArguments } from './item-arguments.ts'

const seen = (...of: Parameters<typeof itemArguments>): unknown => {
  const found = itemArguments(...of)
  if (!found.ok) return `${found.code}: ${found.detail}`
  return Object.fromEntries([...found.attributes].map(([name, text]) => [name, JSON.parse(text)]))
}
const TEXT = { type: 'string' }
const form = (properties: JsonObject, more: JsonObject = {}): JsonObject => {
  return {
    message: 'Please fill this in',
    requestedSchema: { type: 'object', properties, ...more },
  }
}

describe('sampling', () => {
  test.each<{ params: JsonObject | undefined; want: unknown }>([
    { params: { messages: [], maxTokens: 100 }, want: { maxTokens: 100, tools: false, includeContext: 'none' } },
    { params: {}, want: { tools: false, includeContext: 'none' } },
    { params: { tools: [], includeContext: 'allServers' }, want: { tools: true, includeContext: 'allServers' } },
    { params: { tools: null }, want: { tools: true, includeContext: 'none' } },
    { params: { maxTokens: 9_007_199_254_740_991 }, want: { maxTokens: 9_007_199_254_740_991, tools: false, includeContext: 'none' } },
    { params: { maxTokens: 9_007_199_254_740_992 }, want: 'unrepresentable_argument: argument `/maxTokens` is not a safe integer' },
    { params: { maxTokens: 1.5 }, want: 'invalid_request: argument `/maxTokens` must be an integer' },
    { params: { maxTokens: null }, want: 'invalid_request: argument `/maxTokens` must be an integer' },
    { params: { maxTokens: '7' }, want: 'invalid_request: argument `/maxTokens` must be an integer' },
    { params: { includeContext: null }, want: 'invalid_request: argument `/includeContext` must be a string' },
    { params: { includeContext: 'x'.repeat(65_536) }, want: 'unrepresentable_argument: what it names is larger than 64 KiB' },
    { params: undefined, want: 'invalid_request: `params` must be an object' },
  ])('$params', ({ params, want }) => {
    expect(seen('sampling/createMessage', params)).toEqual(want)
  }) // biome-ignore format: a table
})

test('a question for roots names nothing', () => {
  expect(seen('roots/list', { any: 1 })).toEqual({})
  expect(seen('roots/list', undefined)).toEqual({})
})

describe('elicitation', () => {
  const FORM = { mode: 'form', fields: ['city'], asksSecret: false }
  const PAGE = {
    mode: 'url',
    url: 'https://Login.Example.com/a',
    url_host: 'login.example.com',
    fields: [],
    asksSecret: false,
  }
  test.each<{ name: string; params: JsonObject | undefined; want: unknown }>([
    { name: 'a form', params: form({ city: TEXT }), want: FORM },
    { name: 'a form by name', params: { ...form({ city: TEXT }), mode: 'form' }, want: FORM },
    { name: 'a page', params: { message: 'Sign in', mode: 'url', url: 'https://Login.Example.com/a' }, want: PAGE },
    { name: 'a page with a form', params: { ...form({ city: TEXT }), mode: 'url', url: 'https://Login.Example.com/a' }, want: { ...PAGE, fields: ['city'] } },
    { name: 'a form with a page', params: { ...form({ city: TEXT }), url: 'http://a.b' }, want: { ...FORM, url: 'http://a.b', url_host: 'a.b' } },
    { name: 'a page that is nowhere', params: { message: 'Sign in', mode: 'url' }, want: 'invalid_request: argument `/url` must be a string' },
    { name: 'a page of another kind', params: { message: 'Sign in', mode: 'url', url: 'javascript:alert(1)' }, want: 'unrepresentable_argument: argument `/url` is not an http, https, ws or wss URL' },
    { name: 'a page behind another', params: { message: 'Sign in', mode: 'url', url: 'https://good.example@evil.example/' }, want: 'unrepresentable_argument: argument `/url` is a URL with credentials' },
    { name: 'another mode', params: { ...form({}), mode: 'voice' }, want: 'invalid_request: `mode` must be `form` or `url`' },
    { name: 'null for a mode', params: { ...form({}), mode: null }, want: 'invalid_request: `mode` must be `form` or `url`' },
    { name: 'nothing', params: undefined, want: 'invalid_request: `params` must be an object' },
    { name: 'a name of every object', params: form({ constructor: TEXT }), want: { ...FORM, fields: ['constructor'] } },
  ])('$name', ({ params, want }) => {
    expect(seen('elicitation/create', params)).toEqual(want)
  }) // biome-ignore format: a table

  test.each([
    { count: 256, want: { asksSecret: false, fields: expect.objectContaining({ length: 256 }) } },
    { count: 257, want: 'unrepresentable_argument: argument `/requestedSchema` has more than 256 properties' },
  ])('of $count properties', ({ count, want }) => {
    const properties = Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${n}`, TEXT]))
    const found = seen('elicitation/create', form(properties))
    expect(found).toEqual(typeof want === 'string' ? want : { mode: 'form', ...want })
  }) // biome-ignore format: a table
})

const asks = (params: JsonObject): unknown => {
  return (seen('elicitation/create', params) as { asksSecret?: unknown }).asksSecret
}

describe('whether a form asks for a secret', () => {
  const one = (property: JsonObject): JsonObject => form({ a: property })

  test.each<{ name: string; params: JsonObject }>([
    { name: 'by the name of a property', params: form({ apiKey: TEXT }) },
    { name: 'by a title', params: one({ ...TEXT, title: 'Your PIN' }) },
    { name: 'by a description', params: one({ ...TEXT, description: 'the token of your account' }) },
    { name: 'by its format', params: one({ ...TEXT, format: 'password' }) },
    { name: 'by the message', params: { ...form({ a: TEXT }), message: 'Enter the password of your account below' } },
    { name: 'by the message of a page', params: { mode: 'url', url: 'https://a.b', message: 'Enter your API key' } },
    { name: 'by the title of the form', params: form({ a: TEXT }, { title: 'Credentials' }) },
    { name: 'by a form beside a page', params: { mode: 'url', url: 'https://a.b', message: 'x', requestedSchema: { properties: { password: TEXT } } } },
    { name: 'unreadable: no message', params: { requestedSchema: { properties: { a: TEXT } } } },
    { name: 'unreadable: a message that is none', params: { ...form({ a: TEXT }), message: 1 } },
    { name: 'unreadable: no schema', params: { message: 'x' } },
    { name: 'unreadable: no properties', params: { message: 'x', requestedSchema: { type: 'object' } } },
    { name: 'unreadable: a schema elsewhere', params: { message: 'x', requestedSchema: { $ref: '#/a', properties: {} } } },
    { name: 'unreadable: alternatives', params: form({ a: TEXT }, { anyOf: [{ properties: { password: TEXT } }] }) },
    { name: 'unreadable: a property that is no schema', params: form({ a: true }) },
    { name: 'unreadable: a property of no type', params: one({}) },
    { name: 'unreadable: a property of several types', params: one({ type: ['string', 'null'] }) },
    { name: 'unreadable: a property within a property', params: one({ type: 'object', properties: { password: TEXT } }) },
    { name: 'unreadable: properties of a text', params: one({ type: 'string', properties: { password: TEXT } }) },
    { name: 'unreadable: a title that is no text', params: one({ ...TEXT, title: ['Password'] }) },
    { name: 'unreadable: a list of anything', params: one({ type: 'array' }) },
    { name: 'unreadable: a list of texts', params: one({ type: 'array', items: TEXT }) },
    { name: 'unreadable: a list of forms', params: one({ type: 'array', items: { properties: { password: TEXT }, enum: [] } }) },
    { name: 'unreadable: choices that are none', params: one({ ...TEXT, oneOf: [{ title: 'x' }] }) },
    { name: 'unreadable: more text than is looked at', params: { ...form({ a: TEXT }), message: 'x '.repeat(40_000) } },
  ])('$name', ({ params }) => {
    expect(asks(params)).toBe(true)
  }) // biome-ignore format: a table

  test.each<{ name: string; params: JsonObject }>([
    { name: 'plain properties of every type', params: form({ a: { ...TEXT, title: 'Name', format: 'email', default: 'x' }, b: { type: 'integer', minimum: 0 }, c: { type: 'number' }, d: { type: 'boolean' } }) },
    { name: 'choices', params: form({ a: { ...TEXT, enum: ['Reset my password', 'Nothing'] }, b: { ...TEXT, oneOf: [{ const: 'a', title: 'A' }] } }) },
    { name: 'lists of choices', params: form({ a: { type: 'array', items: { ...TEXT, enum: ['x'] } }, b: { type: 'array', items: { anyOf: [{ const: 'a', title: 'A' }] } } }) },
    { name: 'no property at all', params: form({}) },
    { name: 'what generators add', params: form({ a: TEXT }, { $schema: 'https://json-schema.org/draft/2020-12/schema', required: ['a'], additionalProperties: false }) },
  ])('not by $name', ({ params }) => {
    expect(asks(params)).toBe(false)
  }) // biome-ignore format: a table
})
