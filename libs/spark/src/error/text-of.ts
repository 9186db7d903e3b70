import { inspect } from 'node:util';

/** What logs and rows keep of what was thrown: the stack of an error, any other value as it looks. */
export function textOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.stack ?? thrown.message;
  return typeof thrown === 'string' ? thrown : inspect(thrown);
}
