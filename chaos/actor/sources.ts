import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Badge, Clan, Effect, Family, Item, Outside } from './entities.js';

/** Those that are the same in both versions. */
@Injectable()
export class Sources {
  /** In the transaction: every committed state. */
  @EventSource(Item)
  *saved({ id, version, flag }: Item) {
    yield sparkEvent('item_saved', [id, Number(version)]);
    if (flag) yield sparkEvent('item_flagged', id);
  }

  /** By a recheck when its time comes. */
  @EventSource(Item)
  *due({ id, dueAt }: Item) {
    yield sparkEvent('item_due', id, undefined, { at: new Date(Number(dueAt)) });
  }

  /** In the transaction of a handler. */
  @EventSource(Effect)
  *effect({ id }: Effect) {
    yield sparkEvent('effect', id);
  }
}

const lateOf = ({ id }: Item) => [sparkEvent('item_late', id)];
const grownOf = (family: Family | Clan) => [sparkEvent('family', [family.id, family.children.length], { family })];
const outsideOf = ({ id }: Outside) => [sparkEvent('outside', Number(id))];

@Injectable()
export class FormerSources {
  /** By a recheck right after the commit. */
  @EventSource(Item, { name: 'late' })
  async late(item: Item) {
    return lateOf(item);
  }

  /** By touch. */
  @EventSource(Family, { relations: { children: true }, name: 'grown' })
  grown(family: Family) {
    return grownOf(family);
  }

  /** By the sweep. */
  @EventSource(Outside, { name: 'outside' })
  outside(outside: Outside) {
    return outsideOf(outside);
  }
}

/** The same under new names, one of a class that has a new name as well, and one that is new. */
@Injectable()
export class NextSources {
  @EventSource(Item, { name: 'next-late', aliases: ['late'] })
  async late(item: Item) {
    return lateOf(item);
  }

  @EventSource(Clan, { relations: { children: true }, name: 'next-grown', aliases: ['grown'] })
  grown(clan: Clan) {
    return grownOf(clan);
  }

  @EventSource(Outside, { name: 'next-outside', aliases: ['outside'] })
  outside(outside: Outside) {
    return outsideOf(outside);
  }

  /** By rechecks at a table that the former version does not know. */
  @EventSource(Badge, { name: 'badges' })
  async badge(badge: Badge) {
    return [sparkEvent('badge', badge.id, { badge })];
  }
}
