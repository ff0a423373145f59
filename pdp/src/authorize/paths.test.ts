// Path normalisation: every spelling a server could read differently from us, and agreement with POSIX.
import { posix } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { absoluteRoot, directoriesAbove, normalisePath } from './paths.ts'

const ROOT = '/srv/demo'

test.each<{ path: string; want: string; why?: string }>([
  { path: 'drafts/a', want: 'drafts/a' },
  { path: './drafts/a', want: 'drafts/a' },
  { path: 'drafts', want: 'drafts' },
  { path: 'drafts/', want: 'drafts' },
  { path: 'drafts//a', want: 'drafts/a' },
  { path: 'drafts/./a/.', want: 'drafts/a' },
  { path: 'drafts/../x', want: 'x' },
  { path: 'drafts/..//x', want: 'x' },
  { path: 'drafts/../drafts/x', want: 'drafts/x' },
  { path: '..', want: '/srv' },
  { path: '../demo/drafts/x', want: 'drafts/x' },
  { path: '../demo2/x', want: '/srv/demo2/x' },
  { path: '../../../../etc/passwd', want: '/etc/passwd' },
  { path: '.', want: '.' },
  { path: '/srv/demo', want: '.' },
  { path: '/srv/demo/', want: '.' },
  { path: '/srv/demo/drafts/../notes.txt', want: 'notes.txt' },
  { path: '/srv/demo/../x', want: '/srv/x' },
  { path: '//srv//demo//a', want: 'a' },
  { path: '/', want: '/' },
  { path: '//', want: '/' },
  { path: '/srv/demographics', want: '/srv/demographics' },
  { path: 'Drafts/a', want: 'Drafts/a' },
  { path: 'dräfts/a b', want: 'dräfts/a b' },
  { path: '...', want: '...' },
  { path: 'a~b', want: 'a~b' },
  { path: 'C:/x', want: 'C:/x' },
  { path: '100%25/a%20b%', want: '100%25/a%20b%' },
  { path: 'a…/b', want: 'a…/b' },
  { path: 'file', want: 'file' },
])('$path becomes $want', ({ path, want }) => {
  expect(normalisePath(path, ROOT)).toEqual({ ok: true, path: want })
})

test.each<{ path: string; problem: RegExp }>([
  { path: '', problem: /empty/ },
  { path: 'drafts/a\0', problem: /control/ },
  { path: 'drafts\n/a', problem: /control/ },
  { path: 'drafts/\u007f', problem: /control/ },
  { path: 'drafts/\u0085x', problem: /control/ },
  { path: 'drafts\\..\\x', problem: /backslash/ },
  { path: ' drafts/a', problem: /white space/ },
  { path: 'drafts/a ', problem: /white space/ },
  { path: '\ufeffdrafts/a', problem: /white space/ },
  { path: 'drafts/a\u00a0', problem: /white space/ },
  { path: '"drafts/a', problem: /quote/ },
  { path: "drafts/a'", problem: /quote/ },
  { path: '~', problem: /~/ },
  { path: '~/x', problem: /~/ },
  { path: '~root/x', problem: /~/ },
  { path: 'drafts/%2e%2e/x', problem: /encoded/ },
  { path: 'drafts/%252E%252e%252fx', problem: /encoded/ },
  { path: 'drafts/..%2fx', problem: /encoded/ },
  { path: 'drafts/..%5cx', problem: /encoded/ },
  { path: 'drafts/a%00', problem: /encoded/ },
  { path: 'drafts/%c0%ae%c0%ae/x', problem: /encoded/ },
  { path: 'drafts/%u002e%u002e/x', problem: /encoded/ },
  { path: 'file:///etc/passwd', problem: /URL/ },
  { path: 'FILE:/etc/passwd', problem: /URL/ },
  { path: 'http://127.0.0.1/x', problem: /URL/ },
  { path: 'drafts/\uff0e\uff0e/x', problem: /like/ },
  { path: 'drafts/\u2025/x', problem: /like/ },
  { path: 'drafts\uff0fx', problem: /like/ },
  { path: 'drafts\uff3c..', problem: /like/ },
  { path: '\uff5eroot/x', problem: /like/ },
  { path: '\u212aeys/a', problem: /normal form/ },
  { path: 'dra\u0308fts/a', problem: /normal form/ },
])('$path is refused', ({ path, problem }) => {
  expect(normalisePath(path, ROOT)).toEqual({ ok: false, problem: expect.stringMatching(problem) })
})

test('every relative path of a root that is `/` stays relative', () => {
  expect(normalisePath('../etc/passwd', '/')).toEqual({ ok: true, path: 'etc/passwd' })
  expect(normalisePath('/etc/passwd', '/')).toEqual({ ok: true, path: 'etc/passwd' })
})

test.each([
  { root: '/srv//demo/../demo/', want: '/srv/demo' },
  { root: 'srv', want: undefined },
  { root: '', want: undefined },
  { root: '~/demo', want: undefined },
  { root: '/srv/\0', want: undefined },
])('root $root is $want', ({ root, want }) => {
  expect(absoluteRoot(root)).toBe(want)
})

const segment = fc.constantFrom('..', '.', '', 'drafts', 'a', '...', 'srv', 'demo', 'ö')
const paths = fc.array(segment, { maxLength: 8 }).map((segments) => segments.join('/'))

describe('properties', () => {
  test('the result names the same file as POSIX does, and is its own normal form', () => {
    fc.assert(
      fc.property(paths, fc.boolean(), (relative, absolute) => {
        const path = absolute ? `/${relative}` : relative
        const normalised = normalisePath(path, ROOT)
        if (!normalised.ok) return path === ''
        const named = posix.resolve(ROOT, normalised.path)
        const again = normalisePath(normalised.path, ROOT)
        expect(named).toBe(posix.resolve(ROOT, path))
        expect(again).toEqual(normalised)
        return !normalised.path.split('/').includes('..')
      }),
    )
  })

  test('only what is below the root is relative', () => {
    fc.assert(
      fc.property(fc.string(), (path) => {
        const normalised = normalisePath(path, ROOT)
        const inside = `${posix.resolve(ROOT, path)}/`.startsWith(`${ROOT}/`)
        expect(!normalised.ok || inside !== normalised.path.startsWith('/')).toBe(true)
      }),
    )
  })
})

test.each<{ paths: string[]; want: string[] }>([
  { paths: ['drafts/a/b'], want: ['.', 'drafts', 'drafts/a'] },
  { paths: ['drafts/a', 'drafts/b'], want: ['.', 'drafts'] },
  { paths: ['drafts/a', 'notes.txt'], want: ['.'] },
  { paths: ['drafts/a', 'drafts'], want: ['.'] },
  { paths: ['drafts/a', 'drafts2/a'], want: ['.'] },
  { paths: ['drafts/a', '/etc/passwd'], want: [] },
  { paths: ['/etc/passwd', '/etc/group'], want: ['/', '/etc'] },
  { paths: ['.'], want: [] },
  { paths: ['/'], want: [] },
  { paths: [], want: [] },
])('the directories that hold all of $paths are $want', ({ paths: of, want }) => {
  expect(directoriesAbove(of)).toEqual(want)
})
