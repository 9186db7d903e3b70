import * as fc from 'fast-check';
import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';

/** Kinds of columns that a saved entity is copied of without reading its row. */
@Entity()
class Plain {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) whole: number;
  @Column() truth: boolean;
  @Column({ type: 'varchar', length: 40 }) text: string;
  @Column({ type: 'varchar', nullable: true }) maybe: string | null;
}

/** Its row is not what was saved. */
@Entity()
class Spelt {
  @PrimaryGeneratedColumn() id: number;
  @Column({ transformer: { to: (name: string) => name.trim().toUpperCase(), from: (name: string) => name } })
  name: string;
}

/** What the source saw of each entity, by id. */
const seen = new Map<number, Plain[]>();

@Injectable()
class Events {
  @EventSource(Plain)
  *plain(plain: Plain) {
    seen.set(plain.id, [...(seen.get(plain.id) ?? []), plain]);
    yield sparkEvent('plain', plain.id);
  }
}

const spelt: Spelt[] = [];

@Injectable()
class SpeltEvents {
  @EventSource(Spelt)
  *spelt(row: Spelt) {
    spelt.push(row);
    yield sparkEvent('spelt', row.id);
  }
}

const text = (maxLength: number) =>
  fc.oneof(
    fc.string({ maxLength }),
    fc.string({ unit: 'binary', maxLength: Math.floor(maxLength / 2) }),
    fc.constantFrom('', ' ', 'a ', '\0', '\ud800', 'é', 'é', '🎉', "it's", 'null'),
  );

const plain = fc.record({
  whole: fc.oneof(fc.integer(), fc.constant(-0)),
  truth: fc.boolean(),
  text: text(40),
  maybe: fc.oneof(fc.constant(null), text(60)),
});

describe.each(databases)('a copied row is what the database says, on $name', (database) => {
  it('for every value that the database takes', async () => {
    seen.clear();
    const db = await database.create();
    const { dataSource, close } = await startApp({
      database: db,
      entities: [Plain],
      providers: [Events],
      spark: { worker: false },
    });
    await fc.assert(
      fc.asyncProperty(plain, async (values) => {
        const saved = await dataSource.manager.save(Plain, { ...values }).catch(() => undefined);
        if (!saved) return;
        const row = await dataSource.manager.findOneByOrFail(Plain, { id: saved.id });
        const [live, ...more] = seen.get(saved.id) ?? [];
        expect(more).toEqual([]);
        expect(live).toBeInstanceOf(Plain);
        expect(live).toEqual(row);
      }),
      { numRuns: 300 },
    );
    await close();
    await db.drop();
  }, 60_000);

  it('where a partial save leaves a nullable column alone, and where it sets it', async () => {
    seen.clear();
    const db = await database.create();
    const entities = [Plain];
    const { dataSource, close } = await startApp({
      database: db,
      entities,
      providers: [Events],
      spark: { worker: false },
    });
    const { id } = await dataSource.manager.save(Plain, { whole: 1, truth: true, text: 'a', maybe: 'there' });
    await dataSource.manager.save(Plain, { id, whole: 2, truth: true, text: 'a' });
    await dataSource.manager.save(Plain, { id, whole: 3, truth: true, text: 'a', maybe: null });
    expect(seen.get(id)!.map(({ whole, maybe }) => [whole, maybe])).toEqual([
      [1, 'there'],
      [2, 'there'],
      [3, null],
    ]);
    await close();
    await db.drop();
  });

  it('where a transformer writes something else than was saved', async () => {
    const db = await database.create();
    const options = { entities: [Spelt], providers: [SpeltEvents], spark: { worker: false } as const };
    const { dataSource, close } = await startApp({ database: db, ...options });
    spelt.length = 0;
    const { id } = await dataSource.manager.save(Spelt, { name: ' ada ' });
    expect(spelt).toEqual([{ id, name: 'ADA' }]);
    await close();
    await db.drop();
  });
});
