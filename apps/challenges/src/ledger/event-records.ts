import { Injectable } from '@nestjs/common';
import { type DeliveryRecord, type EventRecord, SparkService } from 'nestjs-spark';
import type { EventDelivery, ListedEvent, ListedEvents } from './listed-event.js';
import type { EventsQuery } from './events-query.js';

// Each event of this application has one delivery, or two.
const DELIVERIES = 1_000;

/** Lists the events of the ledger, each with its deliveries. */
@Injectable()
export class EventRecords {
  constructor(private readonly spark: SparkService) {}

  async list({ limit, after }: EventsQuery): Promise<ListedEvents> {
    const { records, next } = await this.spark.events({}, { limit, after });
    if (records.length === 0) return { events: [], next: null };
    const filter = { key: records.map(({ key }) => key) };
    const { records: deliveries } = await this.spark.deliveries(filter, { limit: DELIVERIES });
    return { events: records.map((record) => listed(record, deliveries)), next: next ?? null };
  }
}

function listed(record: EventRecord, deliveries: readonly DeliveryRecord[]): ListedEvent {
  const { id, key, group, entity, entityId, recorded } = record;
  const own = deliveries.filter(({ event }) => event.id === id).map(delivered);
  return { id, key, group, entity: entity ?? null, entityId: entityId ?? null, recorded, deliveries: own };
}

function delivered({ handler, state, attempt, finished, error }: DeliveryRecord): EventDelivery {
  return { handler, state, attempt, finished: finished ?? null, error: error ?? null };
}
