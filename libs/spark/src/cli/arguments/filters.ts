import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DataSource, EntityTarget, ObjectLiteral } from 'typeorm';
import { DELIVERY_STATES, type DeliveryState } from '../../database/delivery-states.js';
import type { DeliveryRecordFilter, EventFilter, RecheckFilter } from '../../store/record-filter.js';
import { isKeyPart } from '../../entity/subject-ref.js';
import { MisuseError } from '../command.error.js';
import { instant } from './instant.js';

/** The options of {@link addEntityOptions}. */
export interface EntityOptions {
  readonly entity?: string;
  readonly id?: string;
}

/** The options of {@link addEventFilter}. */
export interface EventOptions extends EntityOptions {
  readonly key?: readonly string[];
  readonly keyPrefix?: string;
  readonly group?: string;
  readonly source?: string;
  readonly from?: Date;
  readonly to?: Date;
}

/** The options of {@link addDeliveryFilter}. */
export interface DeliveryOptions extends EventOptions {
  readonly handler?: string;
  readonly state?: readonly DeliveryState[];
  readonly error?: string;
  readonly fingerprint?: string;
}

const several = (value: string, others: readonly string[] = []): string[] => [...others, value];

/** Adds the options that select an entity. */
export const addEntityOptions = (command: Command): Command =>
  command
    .optionsGroup('Which:')
    .option('--entity <class>', 'of this entity class')
    .option('--id <id>', 'of the entity with this id; the parts of a composite one joined by commas');

/** Adds the options that select events. */
export const addEventFilter = (command: Command, timed = 'entered'): Command =>
  addEntityOptions(command)
    .option('--key <key>', 'with this key; may be repeated', several)
    .option('--key-prefix <text>', 'whose key begins so')
    .option('--group <group>', 'of this group')
    .option('--source <name>', 'of this source')
    .option('--from <time>', `${timed} then or later: 2026-06-01, 2026-06-01T12:00Z, -2d`, instant)
    .option('--to <time>', `${timed} before then`, instant);

/** Adds the options that select deliveries. */
export const addDeliveryFilter = (command: Command, states: readonly DeliveryState[] = DELIVERY_STATES): Command =>
  addEventFilter(command, 'whose event was entered')
    .option('--handler <name>', 'for this handler')
    .addOption(
      new Option('--state <state>', `in this state: ${states.join(', ')}; may be repeated`).argParser(
        (value: string, others?: readonly string[]) => several(stateIn(states, value), others),
      ),
    )
    .option('--error <text>', 'whose last error has this text')
    .option('--fingerprint <digits>', 'whose last error is of this kind', fingerprint);

/** The filter of events that the options are. Throws MisuseError. */
export function eventFilter(options: EventOptions, dataSource: DataSource): EventFilter {
  const { key, keyPrefix, group, source, from, to } = options;
  return given({ key, keyPrefix, group, source, from, to, ...entityFilter(options, dataSource) });
}

/** The filter of deliveries that the ids and options are. Throws MisuseError. */
export function deliveryFilter(
  ids: readonly string[],
  options: DeliveryOptions,
  dataSource: DataSource,
): DeliveryRecordFilter {
  const { handler, state, error, fingerprint: kind } = options;
  const deliveryId = ids.length === 0 ? undefined : ids.map(deliveryIdIn);
  return { ...eventFilter(options, dataSource), ...given({ deliveryId, handler, state, error, fingerprint: kind }) };
}

/** The filter of rechecks that the options are. Throws MisuseError. */
export function recheckFilter(options: EntityOptions & { from?: Date; to?: Date }, dataSource: DataSource) {
  const { from, to } = options;
  return given({ from, to, ...entityFilter(options, dataSource) }) as RecheckFilter;
}

/** An entity by its class name, and its id if one is given. Throws MisuseError. */
export function entityFilter(
  { entity, id }: EntityOptions,
  dataSource: DataSource,
): Pick<EventFilter, 'entity' | 'id'> {
  if (entity === undefined && id !== undefined) throw new MisuseError('--id needs the --entity of the id.');
  if (entity === undefined) return {};
  const target = entityNamed(dataSource, entity);
  return { entity: target, ...(id === undefined ? {} : { id: idOf(dataSource, target, id) }) };
}

/** The entity of a class name. Throws MisuseError. */
export function entityNamed(dataSource: DataSource, name: string): EntityTarget<ObjectLiteral> {
  const found = dataSource.entityMetadatas.find((metadata) => metadata.name === name);
  if (found) return found.target;
  const known = dataSource.entityMetadatas
    .filter(({ tableType }) => tableType === 'regular')
    .map((metadata) => metadata.name)
    .sort();
  throw new MisuseError(
    `There is no entity ${JSON.stringify(name)} in the DataSource. Entities: ${known.join(', ') || 'none'}.`,
  );
}

/** The id in a text: as lists show it, or the parts of a composite one joined by commas. Throws MisuseError. */
export function idOf(dataSource: DataSource, entity: EntityTarget<ObjectLiteral>, text: string): unknown {
  const { name, primaryColumns } = dataSource.getMetadata(entity);
  const { length } = primaryColumns;
  const parts: unknown = length === 1 ? [text] : text.startsWith('[') ? parsed(text) : text.split(',');
  if (!Array.isArray(parts) || parts.length !== length) {
    const names = primaryColumns.map(({ propertyName }) => propertyName).join(',');
    throw new MisuseError(
      `The id of ${name} has ${length} parts. Write them as ${names}, not as ${JSON.stringify(text)}.`,
    );
  }
  if (!primaryColumns.every((column, i) => isKeyPart(dataSource, column, parts[i])))
    throw new MisuseError(`${JSON.stringify(text)} cannot be an id of ${name}.`);
  return length === 1 ? text : parts;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function stateIn(states: readonly string[], value: string): string {
  if (states.includes(value)) return value;
  throw new InvalidArgumentError(`It must be one of ${states.join(', ')}.`);
}

function fingerprint(value: string): string {
  if (/^[0-9a-f]{16}$/.test(value)) return value;
  throw new InvalidArgumentError('It must be 16 hexadecimal digits, as lists show it.');
}

/** The id of a delivery. Throws MisuseError. */
export function deliveryIdIn(value: string): string {
  if (/^\d{1,18}$/.test(value)) return value;
  throw new MisuseError(`${JSON.stringify(value)} is not the id of a delivery, as lists show it.`);
}

/** The values that are given. */
const given = <T extends object>(values: T): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
