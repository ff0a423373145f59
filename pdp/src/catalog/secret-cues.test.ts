// What reads as if it asked for a secret, and the everyday words that must not.
import { describe, expect, test } from 'vitest'
import { SECRET_TEXT_LENGTH_MAX } from '../../../schemas/limits.ts'
import { readsLikeSecret } from './secret-cues.ts'

describe('asks for a secret', () => {
  test.each([
    'password', 'userPassword', 'DB_PASSWD', 'new-passphrase', 'Pass phrase', 'Please enter your password to go on.',
    'apiKey', 'API_KEY', 'OpenAI API key', 'Paste the private key here', 'ssh-key', 'aws_secret_access_key', 'clientSecret',
    'token', 'accessToken', 'Your GitHub token', 'personal access tokens', 'credentials', 'AWS credentials',
    'pin', 'PIN', 'cardPin', 'Enter PIN', 'Your 4-digit PIN', 'PIN code', 'the PIN number of the card',
    'otp', 'OTP', 'the 6-digit code we sent you', 'SMS code', 'one-time code', 'Verification code', 'backup codes',
    'card number', 'cardNumber', 'creditCardNumber', 'Credit card', 'cvv', 'CVC', 'seed phrase',
    'Passwort', 'Contraseña', 'Mot de passe', 'Введите пароль', '请输入密码', 'パスワードを入力',
    'ｐａｓｓｗｏｒｄ', 'pass\u200bword', 'pаssword',
  ])('%s', (text) => {
    expect(readsLikeSecret([text])).toBe(true)
    expect(readsLikeSecret(['name', text, 'e-mail'])).toBe(true)
  }) // biome-ignore format: a list

  test('and so does what is too long to be looked at', () => {
    const half = 'x '.repeat(SECRET_TEXT_LENGTH_MAX / 4)
    expect(readsLikeSecret([half, half])).toBe(false)
    expect(readsLikeSecret([half, `${half}x`])).toBe(true)
    const grows = '\ufdfa'.repeat(SECRET_TEXT_LENGTH_MAX / 16)
    expect(readsLikeSecret([grows])).toBe(true)
    expect(readsLikeSecret([grows.slice(grows.length / 2)])).toBe(false)
  })
})

describe('asks for none', () => {
  test.each([
    '', 'name', 'email', 'Your e-mail address', 'homepage', 'birthdate', 'How many tokens may the answer have?', 'maxTokens',
    'token count', 'Token limit', 'next page token', 'tokens per minute', 'token symbol', 'tokenizer',
    'primary key', 'Which key should it be sorted by?', 'keyword', 'keyboard layout', 'public key', 'key takeaways',
    'Pin this message', 'Which GPIO pin drives the LED?', 'GPIO pin number', 'spinner', 'opinion', 'pinned', 'shipping',
    'zip code', 'country code', 'error code', 'promo code', 'source code', 'codename',
    'secretary', 'Secret Santa budget', 'business card', 'Title of the card', 'compass', 'passenger', 'passport photo',
    'bypass the cache?', 'otpauth', 'author', 'authentication method', 'access level', 'Счёт', '名前',
  ])('%s', (text) => {
    expect(readsLikeSecret([text])).toBe(false)
  }) // biome-ignore format: a list
})
