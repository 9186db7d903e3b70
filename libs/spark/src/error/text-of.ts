import { inspect } from 'node:util';

/** What logs and rows keep of what was thrown: the stack of an error, any other value as it looks. Never throws itself. */
export function textOf(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return String(thrown.stack ?? thrown.message);
    return typeof thrown === 'string' ? thrown : inspect(thrown);
  } catch {
    return 'something was thrown that cannot be shown as text';
  }
}
