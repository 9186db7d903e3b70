import { looksSecret, REDACTED, withoutSecrets } from './secrets.js';

/**
 * Whether a value of a context or of metadata is hidden.
 *
 * @param name The name of the field, or the key of a Map.
 * @param value Its value, as it is stored.
 * @param path The names of the fields around it, from the outside.
 */
export type DashboardRedact = (name: string, value: unknown, path: readonly string[]) => boolean;

// A page with a longer context would be slow in browsers.
const MOST_CHARACTERS = 20_000;

/** Hides secrets in what pages show. */
export class Redactor {
  private readonly isSecret: DashboardRedact;

  /** Hides what `redact` says. Default: what looks like a secret. `false` hides nothing. */
  constructor(private readonly redact: DashboardRedact | false = looksSecret) {
    this.isSecret = redact === false ? () => false : redact;
  }

  /** A stored context as text of several lines. */
  context(text: string): string {
    let stored: unknown;
    try {
      stored = JSON.parse(text);
    } catch {
      return cut(this.error(text));
    }
    // The other parts of a stored context are types of values, by their paths.
    const plain = isObject(stored) && 'json' in stored ? stored.json : stored;
    return this.values(plain);
  }

  /** Values as text of several lines. */
  values(plain: unknown): string {
    return cut(JSON.stringify(this.hidden(plain, []), null, 2) ?? '');
  }

  /** The text of an error. */
  error(text: string): string {
    return this.redact === false ? text : withoutSecrets(text);
  }

  private hidden(value: unknown, path: readonly string[]): unknown {
    if (typeof value === 'string') return this.error(value);
    if (Array.isArray(value)) return value.map((one) => this.hiddenEntry(one, path));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.hiddenField(name, one, path)]));
  }

  /** A part of a list. A Map is stored as a list of pairs. */
  private hiddenEntry(value: unknown, path: readonly string[]): unknown {
    if (!Array.isArray(value) || value.length !== 2 || typeof value[0] !== 'string') return this.hidden(value, path);
    return [this.hidden(value[0], path), this.hiddenField(value[0], value[1], path)];
  }

  private hiddenField(name: string, value: unknown, path: readonly string[]): unknown {
    return this.isSecret(name, value, path) ? REDACTED : this.hidden(value, [...path, name]);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const cut = (text: string): string =>
  text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}\n… (${text.length - MOST_CHARACTERS})`;
