import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import {
  Column,
  Entity,
  type EntityManager,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

/** A value object that keys are made of. */
class OrderNumber {
  constructor(readonly text: string) {}
}

const orderNumber = {
  to: (value: unknown) => (value instanceof OrderNumber ? value.text : value),
  from: (text: string) => new OrderNumber(text),
};

@Entity()
class ByValue {
  @PrimaryColumn({ type: 'varchar', length: 40, transformer: orderNumber }) id: OrderNumber;
  @Column() state: string;
}

@Entity()
class Page {
  @PrimaryColumn({ type: 'varchar', length: 40 }) slug: string;
  @Column() state: string;
}

@Entity()
class Seat {
  @PrimaryColumn() room: number;
  @PrimaryColumn({ type: 'varchar', length: 10 }) place: string;
  @Column() state: string;
}

@Entity()
class Draft {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
}

@Entity()
class Country {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
}

@Entity()
class City {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @ManyToOne(() => Country, { eager: true }) country: Relation<Country>;
}

class Address {
  @Column({ default: '' }) street: string;
  @ManyToOne(() => City) city: Relation<City> | null;
}

@Entity()
class Label {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'varchar', length: 20, unique: true }) code: string;
}

@Entity()
class Shop {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'varchar', length: 20, unique: true }) code: string;
  @ManyToOne(() => City, { eager: true, nullable: true }) city: Relation<City> | null;
  @Column(() => Address) address: Address;
  @ManyToMany(() => Label)
  @JoinTable({
    name: 'shop_label',
    joinColumn: { name: 'shop_code', referencedColumnName: 'code' },
    inverseJoinColumn: { name: 'label_code', referencedColumnName: 'code' },
  })
  labels: Relation<Label>[];
  @OneToMany(() => Clerk, (clerk) => clerk.shop) clerks: Relation<Clerk>[];
}

@Entity()
class Clerk {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @ManyToOne(() => Shop, (shop) => shop.clerks) shop: Relation<Shop>;
}

const names = (of: readonly { name?: string; code?: string }[]): string =>
  of
    .map(({ name, code }) => name ?? code)
    .sort()
    .join('+');

/** The clerks that the source saw last, by shop. */
const clerksSeen = new Map<number, string>();

@Injectable()
class Events {
  @EventSource(ByValue) *value({ id, state }: ByValue) {
    yield sparkEvent('value', [id.text, state]);
  }
  @EventSource(ByValue) async later({ id, state }: ByValue) {
    return [sparkEvent('later', [id.text, state])];
  }
  @EventSource(Page) *page({ slug, state }: Page) {
    yield sparkEvent('page', [slug, state]);
  }
  @EventSource(Seat) *seat({ room, place, state }: Seat) {
    yield sparkEvent('seat', [room, place, state]);
  }
  @EventSource(Draft) *draft({ id, state }: Draft) {
    yield sparkEvent('draft', [id, state]);
  }
  @EventSource(Shop) *city({ id, city }: Shop) {
    if (city) yield sparkEvent('city', [id, city.name, city.country.name]);
  }
  @EventSource(Shop, { relations: { address: { city: true } } }) *address({ id, address }: Shop) {
    if (address.city) yield sparkEvent('address', [id, address.city.name, address.city.country.name]);
  }
  @EventSource(Shop, { relations: { labels: true } }) *labels({ id, labels }: Shop) {
    yield sparkEvent('labels', [id, names(labels)]);
  }
  @EventSource(Shop, { relations: { clerks: true } }) *clerks({ id, clerks }: Shop) {
    clerksSeen.set(id, names(clerks));
    yield sparkEvent('clerks', [id, names(clerks)]);
  }
}

describe.each(databases)('rarer writes are seen, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let m: EntityManager;

  beforeAll(async () => {
    db = await database.create();
    const entities = [ByValue, Page, Seat, Draft, Country, City, Label, Shop, Clerk];
    app = await startApp({ database: db, entities, providers: [Events], spark: { worker: false } });
    m = app.dataSource.manager;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const keys = async () => {
    await app.spark.drain();
    const rows = (await m.query('SELECT event_key FROM spark_event')) as { event_key: string }[];
    return rows.map(({ event_key: key }) => key);
  };
  /** The keys that a write makes, in and out of a transaction; a sweep afterwards finds no others. */
  const made = async (write: () => Promise<unknown>) => {
    const before = new Set(await keys());
    await write();
    const live = (await keys()).filter((key) => !before.has(key));
    expect(await app.spark.sweep()).toMatchObject({ entered: 0, failed: 0, refused: 0 });
    return live.sort();
  };

  describe('a key that is an object of the application', () => {
    it('saved, updated by criteria, and asked for', async () => {
      const id = new OrderNumber('A-1');
      const both = (state: string) => [`later_A-1,${state}`, `value_A-1,${state}`];
      expect(await made(() => m.save(ByValue, { id, state: 'new' }))).toEqual(both('new'));
      expect(await made(() => m.save(ByValue, { id, state: 'paid' }))).toEqual(both('paid'));
      expect(await made(() => m.update(ByValue, { state: 'paid' }, { state: 'sent' }))).toEqual(both('sent'));
      const inserted = await made(() => m.insert(ByValue, { id: new OrderNumber('A-2'), state: 'new' }));
      expect(inserted).toEqual(['later_A-2,new', 'value_A-2,new']);
      for (const one of [id, { id }, 'A-1', await m.findOneByOrFail(ByValue, { state: 'sent' })])
        expect(JSON.stringify(await app.spark.explain(ByValue, one as never))).toContain('value_A-1,sent');
    });
  });

  describe('a key that criteria change', () => {
    it('to a value, by SQL, and a part of it', async () => {
      await m.save(Page, [
        { slug: 'old', state: 'new' },
        { slug: 'other', state: 'new' },
      ]);
      await m.save(Seat, { room: 1, place: 'a', state: 'free' });
      expect(await made(() => m.update(Page, { slug: 'old' }, { slug: 'moved' }))).toEqual(['page_moved,new']);
      const both = () => m.update(Page, { slug: 'other' }, { slug: () => `CONCAT(slug, '-2')`, state: 'b' });
      expect(await made(both)).toEqual(['page_other-2,b']);
      expect(await made(() => m.update(Seat, { room: 1 }, { room: 2 }))).toEqual(['seat_2,a,free']);
      const within = () => m.transaction((inner) => inner.update(Page, { slug: 'moved' }, { slug: 'again' }));
      expect(await made(within)).toEqual(['page_again,new']);
    });
  });

  describe('an insert of what a SELECT gives', () => {
    const copy = (manager: EntityManager, state: string, more?: string) => {
      const copying = manager
        .createQueryBuilder()
        .insert()
        .into(Draft, ['state'])
        .valuesFromSelect((qb) => qb.select(`'${state}'`).from(Seat, 'seat'));
      return (more && database.name !== 'SQLite' ? copying.returning(more) : copying).execute();
    };

    it('with keys that the database makes, in and out of a transaction', async () => {
      await m.save(Seat, { room: 7, place: 'z', state: 'free' });
      const count = await m.count(Seat);
      const drafts = await made(() => copy(m, 'copied'));
      expect(drafts).toHaveLength(count);
      expect(drafts.every((key) => key.endsWith(',copied'))).toBe(true);
      expect(await made(() => m.transaction((inner) => copy(inner, 'inside')))).toHaveLength(count);
      let raw: unknown;
      expect(await made(async () => (raw = (await copy(m, 'told', 'state')).raw))).toHaveLength(count);
      if (database.name !== 'SQLite') expect((raw as object[])[0]).toMatchObject({ state: 'told' });
    });

    it('with keys that the SELECT gives', async () => {
      const insert = () =>
        m
          .createQueryBuilder()
          .insert()
          .into(Seat, ['room', 'place', 'state'])
          .valuesFromSelect((qb) => qb.select(['room + 100', 'place', `'copied'`]).from(Seat, 'seat').where('room = 7'))
          .execute();
      expect(await made(insert)).toEqual(['seat_107,z,copied']);
    });
  });

  describe('what an entity is read with', () => {
    const shop = async (values: object) =>
      (await m.save(Shop, { code: `shop-${Math.random()}`.slice(0, 20), ...values })).id;

    it('by relations that are eager one after the other', async () => {
      const country = await m.save(Country, { name: 'Italy' });
      const city = await m.save(City, { name: 'Rome', country });
      const id = await shop({ city });
      expect(await made(() => m.save(City, { id: city.id, name: 'Roma' }))).toEqual([`city_${id},Roma,Italy`]);
      expect(await made(() => m.save(Country, { id: country.id, name: 'Italia' }))).toEqual([`city_${id},Roma,Italia`]);
      const criteria = () => m.update(Country, { id: country.id }, { name: 'IT' });
      expect(await made(criteria)).toEqual([`city_${id},Roma,IT`]);
    });

    it('by a relation within an embedded class', async () => {
      const country = await m.save(Country, { name: 'Spain' });
      const city = await m.save(City, { name: 'Madrid', country });
      const id = await shop({ address: { street: 'x', city } });
      expect(await made(() => m.save(City, { id: city.id, name: 'MAD' }))).toEqual([`address_${id},MAD,Spain`]);
      expect(await made(() => m.save(Country, { id: country.id, name: 'ES' }))).toEqual([`address_${id},MAD,ES`]);
    });

    it('by a join table on columns that are no primary key', async () => {
      const [red, blue] = await m.save(Label, [{ code: 'red' }, { code: 'blue' }]);
      const code = 'by-code';
      const { id } = await m.save(Shop, { code, labels: [] });
      expect(await made(() => m.save(Shop, { id, code, labels: [red!] }))).toEqual([`labels_${id},red`]);
      const labels = m.createQueryBuilder().relation(Shop, 'labels').of({ id, code });
      expect(await made(() => labels.add(blue))).toEqual([`labels_${id},blue+red`]);
      expect(await made(() => labels.remove(red))).toEqual([`labels_${id},blue`]);
    });
  });

  it('an entity that another request has moved since the transaction began belongs to where it is', async () => {
    const shops = await m.save(
      Shop,
      ['a', 'b', 'c', 'd', 'e'].map((code) => ({ code })),
    );
    const [first, kims, lous, maxes, last] = shops.map(({ id }) => ({ id }));
    const clerks = await m.save(
      Clerk,
      ['kim', 'lou', 'max'].map((name) => ({ name, shop: first })),
    );
    const [kim, lou, max] = clerks.map(({ id }) => id);
    await app.spark.drain();
    await m.transaction(async (inner) => {
      await inner.find(Clerk, { relations: { shop: true } });
      // SQLite has one writer at a time.
      const other = database.name === 'SQLite' ? inner : m;
      await other.save(Clerk, [
        { id: kim, shop: kims },
        { id: lou, shop: lous },
        { id: max, shop: maxes },
      ]);
      if (other !== inner) await app.spark.drain();
      await inner.save(Clerk, { id: kim, name: 'KIM' });
      await inner.save(Clerk, { id: lou, shop: last });
      await inner.remove(Clerk, await inner.findBy(Clerk, { id: max }));
    });
    await app.spark.drain();
    expect(shops.map(({ id }) => clerksSeen.get(id))).toEqual(['', 'KIM', '', '', 'lou']);
  });
});
