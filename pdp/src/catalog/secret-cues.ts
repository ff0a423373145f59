// Owns the words by which a text reads as if it asked for a secret: a password, a key, a token, a PIN, a one-time code,
// the number of a card. Pure. Cues, not proof: whoever words it otherwise is NOT noticed, and a question about a secret
// reads like one that asks for it.
import { SECRET_TEXT_LENGTH_MAX } from '../../../schemas/limits.ts'
import { INVISIBLE, mixedScriptWords } from './visible.ts'

const INVISIBLES = new RegExp(INVISIBLE, 'gu')

/** Looked for in lower-case words with one space before, between and after them. */
const CUES: readonly RegExp[] = [
  / (?:passwords?|passwd|pwd|passcodes?|passphrases?|passkeys?|pass (?:word|code|phrase|key)s?) /,
  / (?:passwort|passwörter|kennwort|contraseñas?|mot de passe|senha|wachtwoord|lösenord|hasło|parola|пароль|пароля) /,
  /密码|密碼|パスワード|暗証番号|비밀번호/,
  / (?:credentials?|secrets?(?! santa )|jwt|mnemonic|(?:seed|recovery) (?:phrase|words)) /,
  / (?:apikeys?|(?:api|access|private|secret|signing|encryption|decryption|ssh|gpg|pgp|master|account|service|client|license|recovery|auth|security|webhook|deploy|subscription|admin|root|session|shared) keys?) /,
  /(?<! (?:max|maximum|min|minimum|per|each|page|next|stop|end|start|special|input|output|prompt|completion|continuation|cursor)) token (?!(?:counts?|limits?|budget|usage|types?|symbols?|names?|address|price|cost|length|ids?|standard|window|size|supply) )/,
  / (?:access|api|auth|authentication|authorization|bearer|refresh|session|personal|security|oauth|bot|login|your) tokens /,
  / (?:otps?|totp|hotp|cvv2?|cvc2?) /,
  / (?:verification|security|one time|onetime|auth|authentication|authenticator|authorization|2fa|mfa|factor|sms|backup|recovery|login|access|unlock|digit) codes? /,
  / (?:(?:your|my|card|bank|account|security|access|login|unlock|sim|atm|digit|secret|personal|user) pins?|(?<!gpio |board |header )pin (?:codes?|numbers?)|pincode) /,
  /^ (?:(?:enter|new|old|current|the) )*pin $/,
  / (?:cardnumber|creditcard|card (?:numbers?|num|pan|details)|cc (?:number|num)) |^ (?:credit|debit) card $/,
] // biome-ignore format: one kind a line

/**
 * Whether one of `texts` (names, titles, prose) reads as if it asked for a secret. What cannot be read does too: a word
 * in two scripts (`pаssword` with a Cyrillic `а`), and texts longer than SECRET_TEXT_LENGTH_MAX together.
 */
export function readsLikeSecret(texts: readonly string[]): boolean {
  const length = texts.reduce((sum, text) => sum + text.length, 0)
  return length > SECRET_TEXT_LENGTH_MAX || texts.some(hasCue)
}

function hasCue(text: string): boolean {
  const seen = text.replaceAll(INVISIBLES, '')
  const plain = seen.normalize('NFKC')
  if (plain.length > SECRET_TEXT_LENGTH_MAX || mixedScriptWords(seen, 1).length > 0) return true
  const words = ` ${separated(plain)} `
  return CUES.some((cue) => cue.test(words))
}

/** `newApiKey_2` → `new api key 2`. */
function separated(text: string): string {
  return text
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1 $2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()
}
