import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Page } from '../input/page.js';
import type { DeliveryRecord, EventRecord } from './event-record.js';

// As the drivers give them: a bigint is a number on SQLite, and text elsewhere.
type Bigint = number | string;
type RawEvent = Omit<EventRecord, 'id' | 'recordedAt' | 'deliveries'> & { id: Bigint; recordedAt: Bigint };
type RawDelivery = Omit<DeliveryRecord, 'finishedAt'> & { eventId: Bigint; finishedAt: Bigint | null };

/** Reads Spark's tables: they are tables of this database like all others. */
@Injectable()
export class EventRecords {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  async list(page: Page): Promise<EventRecord[]> {
    const events = await this.events(page);
    const deliveries = await this.deliveries(events.map(({ id }) => id));
    return events.map((event) => ({
      ...event,
      id: String(event.id),
      recordedAt: new Date(Number(event.recordedAt)),
      deliveries: deliveries.filter(({ eventId }) => eventId === event.id).map(deliveryRecord),
    }));
  }

  private events({ page, limit }: Page): Promise<RawEvent[]> {
    return this.dataSource
      .createQueryBuilder()
      .from('spark_event', 'e')
      .select('e.id', 'id')
      .addSelect('e.event_key', 'key')
      .addSelect('e.event_group', 'group')
      .addSelect('e.entity', 'entity')
      .addSelect('e.entity_id', 'entityId')
      .addSelect('e.recorded_at', 'recordedAt')
      .orderBy('e.id', 'DESC')
      .offset((page - 1) * limit)
      .limit(limit)
      .getRawMany();
  }

  private async deliveries(events: Bigint[]): Promise<RawDelivery[]> {
    if (events.length === 0) return [];
    return this.dataSource
      .createQueryBuilder()
      .from('spark_delivery', 'd')
      .select('d.event_id', 'eventId')
      .addSelect('d.handler', 'handler')
      .addSelect('d.state', 'state')
      .addSelect('d.attempt', 'attempt')
      .addSelect('d.finished_at', 'finishedAt')
      .addSelect('d.last_error', 'lastError')
      .where('d.event_id IN (:...events)', { events })
      .orderBy('d.id')
      .getRawMany();
  }
}

const deliveryRecord = ({ handler, state, attempt, finishedAt, lastError }: RawDelivery): DeliveryRecord => ({
  handler,
  state,
  attempt,
  finishedAt: finishedAt === null ? null : new Date(Number(finishedAt)),
  lastError,
});
