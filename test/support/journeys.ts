import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import type { CloudEvent } from 'nestjs-spark/microservices';
import { Column, type DataSource, Entity, PrimaryColumn } from 'typeorm';

/** An entity with an event for each step, so that tests see in which order these arrive. */
@Entity()
export class Journey {
  @PrimaryColumn() id: number;
  @Column() step: number;
}

@Injectable()
export class Journeys {
  @EventSource(Journey, { name: 'journeys' })
  *events({ id, step }: Journey) {
    yield sparkEvent('journey_step', id, { step }, { occurrence: step });
  }
}

/** Takes each of the journeys a number of steps further, and commits after each step of all. Returns the keys of the events. */
export async function walk(dataSource: DataSource, journeys: number, steps: number, from = 1): Promise<string[]> {
  const keys: string[] = [];
  for (let step = from; step < from + steps; step++) {
    const all = Array.from({ length: journeys }, (_, id) => ({ id, step }));
    await dataSource.manager.save(Journey, all);
    keys.push(...all.map(({ id }) => `journey_step_${id}@${step}`));
  }
  return keys;
}

/** The events as a consumer sees them that drops those whose id it has seen. */
export const firsts = (events: readonly CloudEvent[]): CloudEvent[] =>
  [...new Map(events.toReversed().map((event) => [event.id, event])).values()].toReversed();

/** The events that arrived for the first time after a later one of their journey. */
export function overtaken(events: readonly CloudEvent[]): string[] {
  const last = new Map<string, number>();
  return firsts(events).flatMap(({ id, subject, data }) => {
    const { step } = data as { step: number };
    const before = last.get(subject!) ?? 0;
    last.set(subject!, Math.max(before, step));
    return step < before ? [id] : [];
  });
}
