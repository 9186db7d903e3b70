import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Effect, Family, Item, Outside } from './entities.js';

@Injectable()
export class Sources {
  /** In the transaction: every committed state. */
  @EventSource(Item)
  *saved({ id, version, flag }: Item) {
    yield sparkEvent('item_saved', [id, Number(version)]);
    if (flag) yield sparkEvent('item_flagged', id);
  }

  /** By a look when its time comes. */
  @EventSource(Item)
  *due({ id, dueAt }: Item) {
    yield sparkEvent('item_due', id, undefined, { at: new Date(Number(dueAt)) });
  }

  /** By a look right after the commit. */
  @EventSource(Item)
  async late({ id }: Item) {
    return [sparkEvent('item_late', id)];
  }

  /** By touch. */
  @EventSource(Family, { relations: { children: true } })
  *grown({ id, children }: Family) {
    yield sparkEvent('family', [id, children.length]);
  }

  /** By the sweep. */
  @EventSource(Outside)
  *outside({ id }: Outside) {
    yield sparkEvent('outside', Number(id));
  }

  /** In the transaction of a handler. */
  @EventSource(Effect)
  *effect({ id }: Effect) {
    yield sparkEvent('effect', id);
  }
}
