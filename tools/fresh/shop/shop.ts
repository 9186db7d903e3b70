import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import {
  DiscardDelivery,
  EventSource,
  GroupHandler,
  OnSparkAlert,
  type SparkAlert,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { Order } from './order.entity.js';

@Injectable()
export class Shop {
  @EventSource(Order, { name: 'orders' })
  *orders({ id, mail }: Order) {
    yield sparkEvent('order_placed', id, { mail });
  }

  @GroupHandler(/^order/, { name: 'mails' })
  send({ context: { mail } }: SparkEvent<{ mail: string }>) {
    if (mail === 'nowhere') throw new DiscardDelivery('There is no such address');
  }

  @GroupHandler(/^order/, { name: 'audit' })
  note() {}
}

@Injectable()
export class OnCall implements OnApplicationBootstrap {
  readonly summaries: string[] = [];

  onApplicationBootstrap() {
    console.log('The shop is open');
  }

  @OnSparkAlert()
  call({ summary }: SparkAlert) {
    this.summaries.push(summary);
  }
}
