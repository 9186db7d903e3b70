import { sharedByCopies } from '../common/shared-by-copies.js';
import { positiveInteger, refuseUnknown } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { isGroup } from './event-check.js';
import type { EventId } from './event-key.js';
import { type EventMetadata, flawInMetadata } from './event-metadata.js';
import { sparkEvent, type SparkEvent, type SparkEventOptions } from './spark-event.js';
import { isSchema, type SchemaInput, type SchemaOutput, type StandardSchema } from './standard-schema.js';

/**
 * A kind of event that {@link defineEvent} has defined. It is a function that describes an event, as `sparkEvent` does, and an argument
 * of `@GroupHandler`.
 *
 * - `C` is the type of the context that handlers get.
 * - `G` is the group.
 * - `Input` is the type of the context that an event is made with. It differs from `C` if a schema converts values.
 */
export interface EventDefinition<C = any, G extends string = string, Input = C> {
  /**
   * Describes an event of this group: `definition(id, context, options)`. The option `until` overrides that of the definition. It never
   * throws. If its input is invalid, Spark reports an InvalidEventError when it would enter the event.
   */
  (id: EventId, ...rest: ContextArguments<Input>): SparkEvent<Input, G>;
  readonly group: G;
  /** The schema that checks contexts, if the definition has one. */
  readonly schema: StandardSchema<Input, C> | undefined;
  /** The version of the context's schema, if the definition has one. */
  readonly version: number | undefined;
}

/** The arguments of a definition after the id. The context may be left out if it may be undefined. */
export type ContextArguments<C> = undefined extends C
  ? [context?: C, options?: SparkEventOptions]
  : [context: C, options?: SparkEventOptions];

/**
 * The type of the event that handlers of a definition get. Of a union of definitions, it is the union of their events.
 *
 * @example
 * close(event: EventOf<typeof challengeEnded>) { … }
 * send(event: EventOf<typeof challengeCreated | typeof challengeEnded>) { … }
 */
export type EventOf<D extends EventDefinition> =
  D extends EventDefinition<infer C, infer G, any> ? SparkEvent<C, G> : never;

/** What the events of a definition have in common. */
export interface EventDefaults<C = any> {
  /**
   * When an event expires, if its options do not say: a function of its context. `null` and `undefined` mean never. Default: never.
   *
   * @example
   * until: ({ challenge }) => challenge.endDate
   */
  readonly until?: (context: C) => Date | null | undefined;
  /**
   * The version of the context's schema, a whole number above 0. Handlers get it as `event.metadata.schemaVersion`. Increase it when the
   * context changes, so that handlers and errors can tell what a former release has stored. Default: none.
   */
  readonly version?: number;
}

/** The defaults of a definition whose contexts a schema checks. */
export interface EventSchemaDefaults<S extends StandardSchema> extends EventDefaults<SchemaInput<S>> {
  /**
   * Checks the context when an event is entered, and again when a handler of this definition is to get it. Handlers get its output. It
   * must not be asynchronous.
   */
  readonly schema: S;
}

/** Defines events that have a context of one type. */
export type DefineWithContext<C> = <G extends string>(group: G, defaults?: EventDefaults<C>) => EventDefinition<C, G>;

/**
 * Defines a kind of event once, for its sources and its handlers. The compiler then checks contexts and the parameters of handlers.
 *
 * The type of the context may come before the group, as in the first example. Then TypeScript knows the group as its literal type, and a
 * handler of several definitions can tell their events apart by `event.group`. In `defineEvent<Context>('group')`, TypeScript knows the
 * group as `string` only, because it infers all type arguments of a call or none.
 *
 * @param group the kind of event, 1 to 100 characters
 * @param defaults `schema`, which also gives the type of the context, `until` and `version`
 * @returns a function that describes an event: `definition(id, context, options)`
 * @throws InvalidOptionsError when the group or a default is not valid
 *
 * @example
 * const challengeEvent = defineEvent<{ challenge: Challenge }>();
 * export const challengeCreated = challengeEvent('challenge_created');
 * export const challengeEnded = challengeEvent('challenge_ended');
 *
 * yield challengeEnded(challenge.id, { challenge }, { at: challenge.endDate });
 *
 * @GroupHandler(challengeEnded, { name: 'close-challenge' })
 * async close(event: EventOf<typeof challengeEnded>) { … }
 *
 * @example
 * const mailBounced = defineEvent('mail_bounced', { schema: z.object({ address: z.email() }) });
 * const nightBegan = defineEvent('night_began'); // without a context
 */
export function defineEvent<C>(): DefineWithContext<C>;
export function defineEvent<G extends string, S extends StandardSchema>(
  group: G,
  defaults: EventSchemaDefaults<S>,
): EventDefinition<SchemaOutput<S>, G, SchemaInput<S>>;
export function defineEvent<C = undefined, G extends string = string>(
  group: G,
  defaults?: EventDefaults<C>,
): EventDefinition<C, G>;
export function defineEvent(...given: [group?: string, defaults?: Defaults]): EventDefinition | typeof define {
  return given.length === 0 ? define : define(given[0]!, given[1]);
}

type Defaults = EventDefaults & { readonly schema?: StandardSchema };

// What tells a definition from any other function, and the definition of an event whose context is to be checked.
const definitions = sharedByCopies('definitions', () => new WeakSet<object>());
const definitionsOfEvents = sharedByCopies('definitions-of-events', () => new WeakMap<object, EventDefinition>());

/** Whether a value is what {@link defineEvent} returned. */
export function isDefinition(value: unknown): value is EventDefinition {
  return typeof value === 'function' && definitions.has(value);
}

/** The definition that made an event, if it has a schema. */
export function definitionOf(event: object): EventDefinition | undefined {
  return definitionsOfEvents.get(event);
}

/** Makes a copy of an event count as made by the same definition, so that its context is checked. */
export function keepDefinition(copy: object, event: object): void {
  const definition = definitionsOfEvents.get(event);
  if (definition) definitionsOfEvents.set(copy, definition);
}

function define(group: string, defaults: Defaults = {}): EventDefinition {
  check(group, defaults);
  const { schema, version } = defaults;
  const make = (id: EventId, context?: unknown, options?: SparkEventOptions) => {
    const event = sparkEvent(group, id, context, withDefaults(options, defaults, context));
    if (schema) definitionsOfEvents.set(event, definition);
    return event;
  };
  const definition: EventDefinition = Object.freeze(Object.assign(make, { group, schema, version }));
  definitions.add(definition);
  return definition;
}

function check(group: string, defaults: Defaults): void {
  if (!isGroup(group))
    throw new InvalidOptionsError(
      'The group of defineEvent',
      group,
      'text of 1 to 100 characters without NUL and lone surrogates',
    );
  const option = (name: string) => `${name} of defineEvent('${group}')`;
  refuseUnknown(option('The second argument'), defaults, ['schema', 'until', 'version'], option);
  const { schema, until, version } = defaults;
  if (schema !== undefined && !isSchema(schema))
    throw new InvalidOptionsError(
      option('schema'),
      schema,
      'a schema that implements Standard Schema, such as that of zod',
    );
  if (until !== undefined && typeof until !== 'function')
    throw new InvalidOptionsError(option('until'), until, 'a function of the context that returns a Date');
  if (version !== undefined) positiveInteger(option('version'), version);
}

function withDefaults(
  options: SparkEventOptions | undefined,
  { until, version }: Defaults,
  context: unknown,
): SparkEventOptions | undefined {
  if (!until && version === undefined) return options;
  try {
    const own = options && 'until' in options ? {} : { until: until?.(context) };
    return { ...own, ...options, metadata: withVersion(options?.metadata, version) };
  } catch (error) {
    // sparkEvent keeps it for the check that refuses the event, because one bad event must not end a source.
    return Object.defineProperty({}, 'at', { get: () => raise(error) });
  }
}

function withVersion(metadata: EventMetadata | undefined, version: number | undefined): EventMetadata | undefined {
  // Metadata that cannot be stored stays as it is, so that the check refuses the event.
  if (version === undefined || flawInMetadata(metadata) !== undefined) return metadata;
  return { ...metadata, schemaVersion: version };
}

function raise(error: unknown): never {
  throw error;
}
