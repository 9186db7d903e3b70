import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What the tests of the dashboard look at. */
@Entity()
export class Parcel {
  @PrimaryColumn() id: number;
  @Column() sender: string;
  /** When it is due, in epoch ms. */
  @Column({ type: 'bigint' }) due: string;
}

@Injectable()
export class ParcelSource {
  @EventSource(Parcel, { name: 'parcels' })
  *events({ id, sender, due }: Parcel) {
    yield sparkEvent(
      'parcel_sent',
      id,
      { sender, password: 'p4ss-word' },
      { metadata: { tenant: 'north', apiKey: 'k3y-value' } },
    );
    yield sparkEvent('parcel_due', id, undefined, { at: new Date(Number(due)) });
  }
}

@Injectable()
export class ParcelHandlers {
  /** The deliveries that fail, as `handler key`, and their errors. */
  readonly failing = new Map<string, string>();

  @GroupHandler(/^parcel/, { name: 'labels', maxAttempts: 1 })
  label(event: SparkEvent) {
    this.handle('labels', event);
  }

  @GroupHandler(/^parcel_sent$/, { name: 'mails', backoff: () => '1h' })
  mail(event: SparkEvent) {
    this.handle('mails', event);
  }

  @GroupHandler(/^work/, { name: 'works', maxAttempts: 1 })
  work(event: SparkEvent) {
    this.handle('works', event);
  }

  private handle(handler: string, { key, group }: SparkEvent): void {
    const error = this.failing.get(`${handler} ${key}`) ?? this.failing.get(`${handler} ${group}`);
    if (error !== undefined) throw new Error(error);
  }
}
