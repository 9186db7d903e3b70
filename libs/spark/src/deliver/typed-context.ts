import type { Entry } from '../database/event-columns.js';
import { ContextSchemaError } from '../error/context-schema.error.js';
import { messageOf } from '../error/wording.js';
import { parseContext } from '../event/context-schema.js';
import { readMetadata } from '../event/event-metadata.js';
import type { Handler } from '../handler/handler.registry.js';
import { NotKnownHere } from './undecided.js';

/**
 * The context of an event as the definition in the decorator of its handler describes it: the output of its schema, if it has one.
 *
 * @throws NotKnownHere if a later release has stored the context; ContextSchemaError if the context does not pass the schema
 */
export function typedContext({ definitions }: Handler, event: Entry, context: unknown): unknown {
  const definition = definitions?.get(event.group);
  if (!definition) return context;
  const { schema, version: own } = definition;
  const stored = storedVersion(event);
  if (own !== undefined && stored !== undefined && stored > own)
    throw new NotKnownHere('version', `${stored} of ${event.group}`);
  if (!schema) return context;
  try {
    return parseContext(schema, context);
  } catch (error) {
    throw new ContextSchemaError(event.group, event.key, messageOf(error), { stored, own }, event.context !== null);
  }
}

function storedVersion({ metadata }: Entry): number | undefined {
  const version = readMetadata(metadata)?.schemaVersion;
  return typeof version === 'number' ? version : undefined;
}
