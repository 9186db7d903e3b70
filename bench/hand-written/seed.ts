import { Column, type DataSource, Entity, type EntityManager, PrimaryGeneratedColumn } from 'typeorm';
import { Order } from '../entities.js';

/** What the seed's algorithm writes down: an event a row, its key unique. */
@Entity()
export class SeedEvent {
  @PrimaryGeneratedColumn() id: number;
  @Column({ unique: true, length: 255 }) key: string;
  @Column({ length: 100 }) group: string;
}

const GROUPS = ['order_created', 'order_paid', 'order_shipped'];

/**
 * The seed's algorithm: the whole table in memory, then one insert in a savepoint for each event; what is new is handled
 * inline. Of its inserts only those for the first `sample` entities are done; returns how long all would take, in ms.
 */
export async function sweepLikeTheSeed(dataSource: DataSource, sample: number, handle: () => void): Promise<number> {
  const began = performance.now();
  const orders = await dataSource.getRepository(Order).find();
  const read = performance.now();
  const some = orders.slice(0, sample);
  await dataSource.transaction(async (manager) => {
    for (const { id } of some) for (const group of GROUPS) if (await isNew(manager, group, `${group}_${id}`)) handle();
  });
  return read - began + (performance.now() - read) * (orders.length / some.length);
}

async function isNew(manager: EntityManager, group: string, key: string): Promise<boolean> {
  try {
    await manager.transaction((inner) => inner.insert(SeedEvent, { key, group }));
    return true;
  } catch {
    return false;
  }
}
