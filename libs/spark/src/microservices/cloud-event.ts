import type { JsonValue, SparkEvent } from '../index.js';
import { jsonOf } from './json.js';

/**
 * An event as a relay sends it: a CloudEvent 1.0 in its JSON form. The extension attributes that the relay names stand beside these.
 *
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export interface CloudEvent {
  readonly specversion: '1.0';
  /** The key of the event. It is the same each time that the event is sent, so consumers recognise a repetition by it. */
  readonly id: string;
  /** The application that it comes from, as the relay or the module says. */
  readonly source: string;
  /** The group of the event. */
  readonly type: string;
  /** The entity that it came from: its table, a slash and its id. Emitted events have none. */
  readonly subject?: string;
  /** When it became true: its `at` if it has one, and otherwise when it was entered. */
  readonly time?: string;
  readonly datacontenttype: 'application/json';
  /** Its context as JSON, or what the relay's `data` returned. Left out if that is undefined. */
  readonly data?: JsonValue;
  /** The extension attributes. */
  readonly [extension: string]: JsonValue | undefined;
}

/** What a relay says about its CloudEvents. */
export interface CloudEventSettings {
  readonly source: string;
  readonly data: (event: SparkEvent) => unknown;
  readonly extensions: readonly string[];
}

/**
 * Makes a CloudEvent of an event.
 *
 * @throws DiscardDelivery if JSON cannot carry its data, and what `data` throws
 */
export function cloudEventOf(event: SparkEvent, { source, data, extensions }: CloudEventSettings): CloudEvent {
  const { key, group, subject, at, recorded, metadata } = event;
  const time = at ?? recorded;
  const json = jsonOf(key, data(event));
  return {
    specversion: '1.0',
    id: key,
    source,
    type: group,
    ...(subject ? { subject: `${subject.entity}/${subject.id}` } : {}),
    ...(time ? { time: time.toISOString() } : {}),
    datacontenttype: 'application/json',
    ...Object.fromEntries(extensions.flatMap((name) => extension(name, metadata?.[name]))),
    ...(json === undefined ? {} : { data: json }),
  };
}

const LARGEST_INTEGER = 2 ** 31 - 1;

/** An extension attribute. Its value is text, a boolean or a 32-bit integer; any other value becomes JSON text. */
function extension(name: string, value: JsonValue | undefined): [string, string | boolean | number][] {
  if (value === undefined || value === null) return [];
  if (typeof value === 'string' || typeof value === 'boolean') return [[name, value]];
  const isInteger = Number.isInteger(value) && Math.abs(value as number) <= LARGEST_INTEGER;
  return [[name, isInteger ? (value as number) : JSON.stringify(value)]];
}

const ATTRIBUTES = ['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data'];

/** Whether a name can be that of an extension attribute. */
export const isExtension = (name: unknown): boolean =>
  typeof name === 'string' && /^[a-z0-9]{1,20}$/.test(name) && !ATTRIBUTES.includes(name);
