// Parts of names, in lower case and with `_` between words.
const ANYWHERE = /pass(word|wd|phrase|code)|secret|token|authori[sz]ation|credential|(api|access|private)_?key|cookie/;
const WORD = /(^|_)(pwd|auth|card|creditcard|cardnumber|cvv|cvc|iban|pin|otp|ssn)(_|$)/;

/**
 * Whether the name of a field looks as if its value were a secret: a password, token, secret, authorization, API key, card and the like. It
 * is the default of the option `redact`.
 *
 * @param name The name of the field, in any case.
 *
 * @example
 * redact: (name) => looksSecret(name) || name === 'email'
 */
export function looksSecret(name: string): boolean {
  const words = name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();
  return ANYWHERE.test(words) || WORD.test(words);
}

/** What is shown in place of a secret. */
export const REDACTED = '•••';

// Errors quote requests: `password=…`, `"token":"…"`, `Bearer …`, `https://user:password@host`.
const NAMED =
  /((?:pass(?:word|wd|phrase)|pwd|secret|token|api[-_]?key|access[-_]?key|credential)[\w-]{0,40}["']?\s{0,9}[:=]\s{0,9}["']?)([^\s"'&,;)}\]]+)/gi;
const HEADER = /\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi;
const IN_ADDRESS = /(\b[a-z][\w+.-]{0,20}:\/\/[^\s/:@]{0,200}):[^\s/@]{1,200}@/gi;

/** Replaces what looks like a secret in the text of an error. */
export const withoutSecrets = (text: string): string =>
  text.replace(HEADER, `$1 ${REDACTED}`).replace(IN_ADDRESS, `$1:${REDACTED}@`).replace(NAMED, `$1${REDACTED}`);
