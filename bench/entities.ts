import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** What the measurements write. */
@Entity('orders')
export class Order {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
  @Column() amount: number;
}

@Injectable()
export class ThreeEvents {
  @EventSource(Order)
  *events({ id }: Order) {
    yield sparkEvent('order_created', id);
    yield sparkEvent('order_paid', id);
    yield sparkEvent('order_shipped', id);
  }
}

@Injectable()
export class OneEvent {
  @EventSource(Order)
  *events({ id }: Order) {
    yield sparkEvent('order_created', id);
  }
}

@Injectable()
export class Handler {
  handled = 0;
  /** What waits until so many are handled. */
  private waiting: { count: number; resolve: () => void } | undefined;

  @GroupHandler(/^order/, { name: 'orders' })
  handle() {
    if (++this.handled === this.waiting?.count) this.waiting.resolve();
  }

  async until(count: number): Promise<void> {
    if (this.handled >= count) return;
    await new Promise<void>((resolve) => (this.waiting = { count, resolve }));
  }
}

export const order = (): Order => Object.assign(new Order(), { title: 'a kettle', amount: 1 });
