import { setTimeout as delay } from 'node:timers/promises';
import { sparkEvent } from 'nestjs-spark';
import { type Application, numbers } from './application.js';
import { middle } from './contest.js';
import type { DatabaseName } from './database.js';

const EVENTS = 100;

/** The handler `single` calls `handled` at each event, so that `latency` can wait for it. */
export class Waits {
  handled = (): void => {};
  private count = 0;

  /** How long after its commit an event is handled, in ms: the median of some, one after the other. */
  async latency({ spark }: Application): Promise<number> {
    const waits: number[] = [];
    for (let i = 0; i < EVENTS; i++) {
      const done = new Promise<void>((resolve) => (this.handled = resolve));
      await spark.emit(sparkEvent('single', `new ${++this.count}`));
      const committed = performance.now();
      await done;
      waits.push(performance.now() - committed);
      await delay(5 + Math.random() * 20);
    }
    return middle(waits);
  }
}

/** Writes events of a group, with a delivery each for the handler of the same name. `due` is SQL for when each is due. */
export async function fill({ dataSource }: Application, db: DatabaseName, name: string, count: number, due: string) {
  const [key, columns, values] =
    db === 'mariadb' ? [`CONCAT('${name}_', n)`, ', token', `, ''`] : [`'${name}_' || n`, '', ''];
  await dataSource.query(
    `INSERT INTO spark_event (event_key, event_group, depth, recorded_at${columns})
     SELECT ${key}, '${name}', 0, 0${values} FROM (${numbers(db, count)}) x`,
  );
  await dataSource.query(
    `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
     SELECT id, '${name}', 'available', 0, 0, 0, ${due} FROM spark_event`,
  );
}

/** Does for the new rows what the database does by itself after a while. */
export async function analyze({ dataSource }: Application, db: DatabaseName): Promise<void> {
  if (db === 'postgres')
    for (const table of ['event', 'delivery']) await dataSource.query(`VACUUM ANALYZE spark_${table}`);
  else await dataSource.query(db === 'mariadb' ? 'ANALYZE TABLE spark_event, spark_delivery' : 'ANALYZE');
}
