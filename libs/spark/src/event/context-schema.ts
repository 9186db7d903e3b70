import { ContextError } from '../error/context.error.js';
import { messageOf } from '../error/wording.js';
import { literal } from '../common/literal-pattern.js';
import { pathTo } from './context-tree.js';
import { definitionOf } from './event-definition.js';
import type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.js';

const MOST_ISSUES = 5;
// In characters.
const LONGEST_MESSAGE = 200;

/**
 * Checks the context of an event that a definition with a schema has made.
 *
 * @throws ContextError when it does not pass; the message has the paths and the messages of the schema
 */
export function checkContext(event: object & { readonly context: unknown }): void {
  const schema = definitionOf(event)?.schema;
  if (schema) parseContext(schema, event.context);
}

/**
 * The output of a schema for a context.
 *
 * @throws ContextError when the context does not pass
 */
export function parseContext(schema: StandardSchema, context: unknown): unknown {
  const result = resultOf(schema, context);
  if (!result.issues) return result.value;
  const issues = Array.from(result.issues, (issue) => wordsFor(issue, context));
  const more = issues.length > MOST_ISSUES ? `; and ${issues.length - MOST_ISSUES} more` : '';
  throw new ContextError(`its context does not pass its schema: ${issues.slice(0, MOST_ISSUES).join('; ')}${more}`);
}

function resultOf(schema: StandardSchema, context: unknown): SchemaResult<unknown> {
  let result: SchemaResult<unknown> | Promise<SchemaResult<unknown>>;
  try {
    result = schema['~standard'].validate(context);
  } catch (error) {
    throw new ContextError(`the schema of its context threw an error (${messageOf(error)})`, { cause: error });
  }
  if (!isPromise(result)) return result;
  result.then(undefined, () => undefined);
  // A source may run inside of the application's transaction, which must not wait.
  throw new ContextError(
    `the schema of its context is asynchronous. Use a schema without asynchronous checks, and check the rest in the source`,
  );
}

const isPromise = (result: object): result is Promise<unknown> =>
  typeof (result as Partial<Promise<unknown>>).then === 'function';

function wordsFor({ message, path = [] }: SchemaIssue, context: unknown): string {
  const keys = Array.from(path, (part) => (typeof part === 'object' ? part.key : part));
  const place = keys.reduce<string>(
    (parent, key) => (typeof key === 'number' ? `${parent}[${key}]` : pathTo(parent, String(key))),
    'context',
  );
  const text = masked(String(message), valueAt(context, keys));
  return `${place}: ${text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE - 1)}…` : text}`;
}

function valueAt(context: unknown, keys: readonly PropertyKey[]): unknown {
  try {
    return keys.reduce<any>((value, key) => (value instanceof Map ? value.get(key) : value?.[key]), context);
  } catch {
    return undefined;
  }
}

/** A message without the value that it is about, because log lines must not have personal data. Some schema libraries write it. */
function masked(message: string, value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
  if (text === '') return message;
  return message.replace(new RegExp(`(?<![\\p{L}\\p{N}])${literal(text)}(?![\\p{L}\\p{N}])`, 'giu'), '…');
}
