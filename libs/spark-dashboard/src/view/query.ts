import type { DeliveryRecordFilter, EventFilter, RecheckFilter } from 'nestjs-spark';
import { BadRequestError } from './bad-request.error.js';

/** The parts of the address that select events, deliveries and rechecks. */
export const EVENT_PARTS = [
  'key',
  'keyPrefix',
  'eventId',
  'causedBy',
  'group',
  'entity',
  'id',
  'source',
  'from',
  'to',
] as const;
export const DELIVERY_PARTS = [...EVENT_PARTS, 'deliveryId', 'handler', 'state', 'error', 'fingerprint'] as const;
export const RECHECK_PARTS = ['entity', 'id', 'from', 'to'] as const;

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z?$/;

/** What stands after the `?` of an address. Each part is given once, and an empty one counts as not given. */
export class Query {
  constructor(private readonly parameters: URLSearchParams) {}

  text(name: string): string | undefined {
    const values = this.parameters.getAll(name).filter((value) => value !== '');
    if (values.length > 1) throw new BadRequestError(`${name} is given more than once.`);
    return values[0];
  }

  /** A part that the page needs. Throws BadRequestError. */
  needed(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new BadRequestError(`The address lacks ${name}.`);
    return value;
  }

  /** A whole number. Throws BadRequestError. */
  number(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= least && value <= most) return value;
    throw new BadRequestError(`${name} is ${JSON.stringify(text)}. Expected: a whole number from ${least} to ${most}.`);
  }

  /** An instant; without a zone it is in UTC. Throws BadRequestError. */
  instant(name: string): Date | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const at = new Date(text.endsWith('Z') ? text : `${text}Z`);
    if (INSTANT.test(text) && !Number.isNaN(at.getTime())) return at;
    throw new BadRequestError(`${name} is ${JSON.stringify(text)}. Expected: a time in UTC such as 2026-03-01T10:00.`);
  }

  /** The id in `id`: the parts of a composite one stand in a JSON array, as lists show it. */
  id(): unknown {
    const text = this.text('id');
    if (text === undefined || !text.startsWith('[')) return text;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }

  /** The texts of some parts, without those that are not given. */
  some(names: readonly string[]): Record<string, string> {
    const given = names.map((name) => [name, this.text(name)] as const).filter(([, text]) => text !== undefined);
    return Object.fromEntries(given) as Record<string, string>;
  }

  /**
   * Throws BadRequestError for a part that has another name. An action must not go on with a wider filter than was meant, because a
   * name in it is not spelled well.
   */
  refuseOthers(names: readonly string[]): void {
    const other = [...this.parameters.keys()].find((name) => !names.includes(name));
    if (other !== undefined)
      throw new BadRequestError(`The address has ${JSON.stringify(other)}. Expected: one of ${names.join(', ')}.`);
  }

  events(): EventFilter {
    return this.filter(EVENT_PARTS);
  }

  deliveries(): DeliveryRecordFilter {
    return this.filter(DELIVERY_PARTS);
  }

  rechecks(): RecheckFilter {
    return this.filter(RECHECK_PARTS);
  }

  private filter(names: readonly string[]): EventFilter {
    const given = this.some(names);
    const times = {
      ...('from' in given && { from: this.instant('from') }),
      ...('to' in given && { to: this.instant('to') }),
    };
    return { ...given, ...times, ...('id' in given && { id: this.id() }) };
  }
}
