import { quoted } from './wording.js';
import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/** Where an event came from, as far as that is known. An event without a source was passed to `SparkService.emit`. */
export interface InvalidEventOrigin {
  /** The source that yielded it, as `Class.method`. */
  readonly source?: string;
  /** The name of the entity that Spark passed to the source. */
  readonly entity?: string;
  /** The id of that entity. */
  readonly id?: string;
  /** The event's group and key, if they are text. */
  readonly group?: string;
  readonly key?: string;
}

/**
 * An event that Spark cannot enter. If a source yields such an event, Spark logs this error and leaves the event out. All other events
 * of this entity and of other entities are entered. Only `SparkService.emit` throws this error.
 *
 * @example
 * await spark.emit(sparkEvent('', 7)); // InvalidEventError: … its group is empty. Give sparkEvent a group of 1 to 100 characters.
 */
export class InvalidEventError extends SparkError {
  /** @param reason what is wrong with the event, and what to do about it */
  constructor(
    reason: string,
    readonly origin: InvalidEventOrigin = {},
  ) {
    const { source, entity, id, group, key } = origin;
    const event = `an event${named(group, key)}`;
    const subject = entity ? ` for ${entity}${id ? ` ${shown(id)}` : ''}` : '';
    const given = source ? `${source} yielded ${event}${subject}` : `SparkService.emit was given ${event}${subject}`;
    super(`${given} that cannot be entered: ${reason}`);
  }
}

function named(group?: string, key?: string): string {
  const names = [group && `group ${quoted(group)}`, key && `key ${quoted(key)}`].filter(Boolean);
  return names.length > 0 ? ` (${names.join(', ')})` : '';
}
