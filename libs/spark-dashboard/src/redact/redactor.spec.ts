import { describe, expect, it } from 'vitest';
import { Redactor } from './redactor.js';
import { looksSecret } from './secrets.js';

const shown = (context: unknown, redactor = new Redactor()) =>
  JSON.parse(redactor.context(JSON.stringify({ json: context }))) as unknown;

describe('redaction', () => {
  it.each([
    'password',
    'userPassword',
    'PASSWORD_HASH',
    'passwd',
    'pwd',
    'token',
    'accessToken',
    'refresh_token',
    'secret',
    'clientSecret',
    'authorization',
    'Authorization',
    'apiKey',
    'api-key',
    'x-api-key',
    'card',
    'cardNumber',
    'creditCard',
    'cvc',
    'iban',
    'cookie',
    'credentials',
  ])('%s looks secret', (name) => {
    expect(looksSecret(name)).toBe(true);
  });

  it.each(['name', 'email', 'id', 'passenger', 'compass', 'discarded', 'cardinality', 'author', 'keyboard', 'spin'])(
    '%s does not look secret',
    (name) => {
      expect(looksSecret(name)).toBe(false);
    },
  );

  it('hides secrets at any depth, in lists and in Maps', () => {
    expect(
      shown({
        user: { name: 'Ada', password: 'p4ss' },
        list: [{ token: { deep: 't0k' } }],
        map: [
          ['apiKey', 'k3y'],
          ['plain', 1],
        ],
      }),
    ).toEqual({
      user: { name: 'Ada', password: '•••' },
      list: [{ token: '•••' }],
      map: [
        ['apiKey', '•••'],
        ['plain', 1],
      ],
    });
  });

  it('hides secrets in the text of errors', () => {
    const text = new Redactor().error(
      'POST https://ada:p4ss@host/?token=t0k {"password":"s3cr"} Authorization: Bearer abcdef123 failed for ada',
    );
    expect(text).not.toMatch(/p4ss|t0k|s3cr|abcdef123/);
    expect(text).toContain('failed for ada');
  });

  it('hides what the application says, with the path of the field', () => {
    const redactor = new Redactor((name, _, path) => path.join('.') === 'user' && name === 'email');
    expect(shown({ email: 'a', user: { email: 'b', password: 'c' } }, redactor)).toEqual({
      email: 'a',
      user: { email: '•••', password: 'c' },
    });
  });

  it('hides nothing if it is off', () => {
    expect(shown({ password: 'p4ss' }, new Redactor(false))).toEqual({ password: 'p4ss' });
    expect(new Redactor(false).error('token=t0k')).toBe('token=t0k');
  });

  it('shows a context that is not JSON as text, and cuts a long one', () => {
    expect(new Redactor().context('{ password=p4ss')).toBe('{ password=•••');
    expect(new Redactor().context(JSON.stringify({ json: 'x'.repeat(50_000) })).length).toBeLessThan(21_000);
  });
});
