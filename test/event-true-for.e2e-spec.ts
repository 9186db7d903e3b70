import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, type SparkEventOptions } from 'nestjs-spark';
import { type SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, OneToMany, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';
import { HOUR, MINUTE } from './support/set-clock.js';
import { dues, letters, startTimed } from './support/timed-app.js';

@Entity()
class Device {
  @PrimaryColumn() id: number;
  @Column({ default: false }) isOnline: boolean;
  @OneToMany(() => Part, (part) => part.device) parts: Relation<Part[]>;
}

@Entity()
class Part {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Device, (device) => device.parts) device: Relation<Device>;
}

const START = Date.parse('2026-06-01T12:00:00Z');

let options: SparkEventOptions = {};
/** Called while a source runs. */
let meanwhile: (() => Promise<void>) | undefined;
let fails = false;
const offline = (device: Device) => {
  if (fails) throw new Error('on purpose');
  return device.isOnline ? [] : [sparkEvent('offline', device.id, {}, { trueFor: '15m', ...options })];
};

@Injectable()
class OwnRow {
  @EventSource(Device, { trueFor: true, name: 'devices' })
  *events(device: Device) {
    yield* offline(device);
  }
}

@Injectable()
class Waiting {
  @EventSource(Device, { trueFor: true, name: 'devices' })
  async events(device: Device) {
    await meanwhile?.();
    return offline(device);
  }
}

@Injectable()
class WithRelations {
  @EventSource(Device, { trueFor: true, name: 'devices', relations: { parts: true } })
  *events(device: Device) {
    if (device.parts.length === 0) yield* offline(device);
  }
}

@Injectable()
class Batch {
  @EventSource(Device, { trueFor: true, name: 'devices', batch: true })
  async events(devices: Device[]) {
    return devices.flatMap(offline);
  }
}

@Injectable()
class NotLive {
  @EventSource(Device, { trueFor: true, name: 'devices', live: false })
  *events(device: Device) {
    yield* offline(device);
  }
}

@Injectable()
class Renamed {
  @EventSource(Device, { trueFor: true, name: 'other devices' })
  *events(device: Device) {
    yield* offline(device);
  }
}

@Injectable()
class Undeclared {
  @EventSource(Device, { name: 'devices' })
  *events(device: Device) {
    yield* offline(device);
  }
}

@Injectable()
class Plain {
  @EventSource(Device, { name: 'devices' })
  *events({ id }: Device) {
    if (id < 0) yield sparkEvent('never', id);
  }
}

const Handlers = letters(HOUR, ['min', MINUTE]);

const iso = (minutes: number) => new Date(START + minutes * MINUTE).toISOString();

describe.each(databases)('an event becomes true when it has lasted, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let clock: TestClock;

  const log = new QueryLog();

  const start = async (source: any) => {
    const providers = [Handlers, source];
    ({ app, kit } = await startTimed({ database: db, entities: [Device, Part], providers, clock }, log));
  };
  beforeEach(async () => {
    options = {};
    meanwhile = undefined;
    fails = false;
    clock = new TestClock(START);
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const save = (isOnline: boolean, id = 1) => app.dataSource.manager.save(Device, { id, isOnline });
  const raw = (isOnline: boolean) => {
    const value = db.options.type === 'postgres' ? String(isOnline) : String(Number(isOnline));
    return app.dataSource.query(`UPDATE device SET ${app.dataSource.driver.escape('isOnline')} = ${value}`);
  };
  const handled = () => app.app.get(Handlers).handled.splice(0);
  /** Since when conditions last, in minutes. */
  const conditions = async () => {
    const rows: { event_key: string; since: string | null }[] = await app.dataSource.query(
      'SELECT event_key, since FROM spark_condition ORDER BY event_key',
    );
    return rows.map(({ event_key: key, since }) => [key, since === null ? null : (Number(since) - START) / MINUTE]);
  };
  const due = () => dues(app, START, MINUTE);

  describe.each([OwnRow, Waiting, WithRelations, Batch])('from a source %o', (source) => {
    it('after its time, once, without a sweep', async () => {
      await start(source);
      await save(false);
      await kit.drain();
      expect([await conditions(), await due(), await kit.events()]).toEqual([[['offline_1', 0]], [15], []]);
      await kit.advance(15 * MINUTE - 1);
      expect(await kit.events()).toEqual([]);
      await kit.advance(1);
      expect(handled()).toEqual(['offline_1']);
      await kit.advance('2h');
      expect([await conditions(), await due(), await kit.events()]).toEqual([[['offline_1', 0]], [], ['offline_1']]);
    });

    it('not if it has stopped before, and from the beginning if it begins again', async () => {
      await start(source);
      await save(false);
      await kit.advance('14m');
      await save(true);
      await kit.drain();
      expect(await conditions()).toEqual([]);
      await kit.advance('20m');
      expect(await kit.events()).toEqual([]);
      await save(false);
      await kit.advance('14m');
      expect([await conditions(), await kit.events()]).toEqual([[['offline_1', 34]], []]);
      await kit.advance('1m');
      expect(handled()).toEqual(['offline_1']);
    });

    it('late after a downtime, with the instant at which it became true', async () => {
      await start(source);
      await save(false);
      await kit.drain();
      await app.close();
      clock.set(START + HOUR);
      await start(source);
      await kit.drain();
      expect(handled()).toEqual(['offline_1 late by 45 min']);
    });

    it('and a break that nobody has seen is seen by the next recheck, or by a sweep', async () => {
      await start(source);
      await save(false);
      await kit.advance('5m');
      await raw(true);
      await kit.advance('1m');
      expect(await conditions()).toEqual([['offline_1', 0]]);
      await app.spark.sweep();
      expect(await conditions()).toEqual([]);
      await kit.drain();
      await raw(false);
      await kit.advance('1m');
      await app.spark.sweep();
      await kit.drain();
      expect(await conditions()).toEqual([['offline_1', 7]]);
      await raw(true);
      await kit.advance('15m');
      expect([await conditions(), await kit.events()]).toEqual([[], []]);
    });

    it('as long as its source does not throw, which changes nothing', async () => {
      await start(source);
      await save(false);
      await kit.drain();
      fails = true;
      await kit.advance('5m');
      await save(false);
      await kit.drain();
      await app.spark.sweep();
      expect(await conditions()).toEqual([['offline_1', 0]]);
      fails = false;
      await kit.advance('11m');
      expect(await kit.events()).toEqual(['offline_1']);
    });

    it('not when its until is past, nor when its entity is gone', async () => {
      options = { until: new Date(START + 10 * MINUTE) };
      await start(source);
      await save(false);
      await save(false, 2);
      await kit.drain();
      expect((await conditions()).length).toBe(2);
      await app.dataSource.query('DELETE FROM device WHERE id = 2');
      await kit.advance('20m');
      expect([await conditions(), await kit.events()]).toEqual([[], []]);
    });

    it('as its plan says, and it is explained', async () => {
      await start(source);
      await save(false);
      const planned = async () => {
        const all: string[] = [];
        for await (const one of app.spark.plan({ at: new Date(START + 20 * MINUTE) }))
          all.push(`${one.outcome} ${'key' in one ? `${one.key} ` : ''}${'at' in one ? one.at.toISOString() : ''}`);
        return all;
      };
      expect(await planned()).toEqual([`enter offline_1 ${iso(15)}`]);
      expect((await app.spark.explain(Device, 1)).words).toEqual([
        'offline_1: its trueFor has not begun: no recheck has found it yet; the next save or sweep begins it.',
      ]);
      await kit.advance('2m');
      expect(await planned()).toEqual([`enter offline_1 ${iso(15)}`]);
      const { words, sources } = await app.spark.explain(Device, 1);
      expect(words).toEqual([
        `offline_1: it has been yielded since ${iso(0)}, and becomes true at ${iso(15)} if it does not stop. ` +
          'The entity is rechecked then.',
      ]);
      expect(sources[0]!.events).toMatchObject([{ verdict: 'later', since: new Date(START), at: new Date(iso(15)) }]);
      await raw(true);
      expect(await planned()).toEqual([`cancel ${iso(15)}`]);
      await raw(false);
      await kit.advance('13m');
      expect((await app.spark.explain(Device, 1)).words[0]).toBe(
        `offline_1 was entered, found by devices, ${iso(15)}. It has been yielded since ${iso(0)}.`,
      );
      await save(true);
      await kit.drain();
      await save(false);
      await kit.drain();
      expect((await app.spark.explain(Device, 1)).words[0]).toMatch(
        `However, it has been yielded without a break only since ${iso(15)}: it does not happen again`,
      );
    });

    it('and a delivery is wanted as long as it has lasted', async () => {
      await start(source);
      await save(false);
      await kit.drain();
      app.app.get(Handlers).fails = true;
      await kit.advance('15m');
      app.app.get(Handlers).fails = false;
      await save(true);
      await kit.advance('50m');
      await save(false);
      await kit.advance('10m');
      expect(await kit.deliveries()).toMatchObject([
        { state: 'skipped', error: expect.stringContaining('devices no longer yields it') },
      ]);
    });

    it('and it begins anew when its entity is forgotten or erased', async () => {
      await start(source);
      await save(false);
      await kit.advance('5m');
      await app.spark.forget(Device, 1);
      expect(await conditions()).toEqual([]);
      await save(false);
      await app.spark.sweep();
      await kit.drain();
      expect(await conditions()).toEqual([['offline_1', 5]]);
      await app.spark.erase(Device, 1);
      expect(await conditions()).toEqual([]);
    });
  });

  it('and nothing is left of an entity that is gone, once a sweep has ended', async () => {
    await start(OwnRow);
    await save(false);
    await save(false, 2);
    await kit.advance('15m');
    expect((await conditions()).length).toBe(2);
    await app.dataSource.query('DELETE FROM device WHERE id = 2');
    await app.spark.sweep();
    expect(await conditions()).toEqual([['offline_1', 0]]);
  });

  it('at the next sweep after its time if its source is not live', async () => {
    await start(NotLive);
    await save(false);
    await app.spark.sweep();
    await kit.advance('16m');
    expect([await conditions(), await kit.events()]).toEqual([[['offline_1', 0]], []]);
    await app.spark.sweep();
    await kit.drain();
    expect(handled()).toEqual(['offline_1 late by 1 min']);
  });

  describe('whatever changes while its source runs:', () => {
    /** Runs the next recheck, and does something after it has read the entity. */
    const during = async (work: () => Promise<void>) => {
      meanwhile = async () => {
        meanwhile = undefined;
        await work();
      };
      await kit.drain();
    };
    const removed = () => app.dataSource.query('DELETE FROM spark_condition');

    it('a break that another recheck has seen', async () => {
      await start(Waiting);
      await save(false);
      await kit.advance('14m');
      clock.set(START + 15 * MINUTE);
      await during(async () => void (await removed()));
      expect([await kit.events(), await conditions()]).toEqual([[], []]);
    });

    it('a break before it is sure that it has begun', async () => {
      await start(Waiting);
      await save(false);
      let runs = 0;
      meanwhile = async () => {
        if (++runs !== 2) return;
        expect(await conditions()).toEqual([['offline_1', null]]);
        await removed();
        clock.set(START + MINUTE);
      };
      await kit.drain();
      expect([runs, await conditions()]).toEqual([4, [['offline_1', 1]]]);
    });

    it('a save that stops it', async () => {
      await start(Waiting);
      await save(false);
      await during(async () => void (await save(true)));
      expect([await conditions(), await due()]).toEqual([[], []]);
    });

    it('a break that is over before it is written down', async () => {
      await start(Waiting);
      await save(false);
      await kit.advance('5m');
      await save(true);
      await during(async () => void (await raw(false)));
      expect([await conditions(), await due()]).toEqual([[['offline_1', 5]], [15, 20]]);
    });

    it('a save that begins it', async () => {
      await start(Waiting);
      await save(true);
      await during(async () => void (await save(false)));
      expect([await conditions(), await due()]).toEqual([[['offline_1', 0]], [15]]);
    });
  });

  it('costs a save one statement, and none if its source does not use it', async () => {
    const counts: number[][] = [];
    for (const source of [Plain, OwnRow]) {
      await start(source);
      await save(false);
      await kit.drain();
      const own: number[] = [];
      for (const isOnline of [true, false]) {
        log.statements.length = 0;
        await save(isOnline);
        own.push(log.statements.length);
        expect(log.statements.filter((sql) => sql.includes('spark_condition'))).toEqual([]);
        await kit.drain();
      }
      counts.push(own);
      if (source === Plain) {
        expect(await app.dataSource.query('SELECT * FROM spark_recheck')).toEqual([]);
        await app.close();
        await app.dataSource.initialize();
        await app.dataSource.query('DELETE FROM device');
        await app.dataSource.destroy();
      }
    }
    expect(counts[0]!.length).toBe(2);
    counts[1]!.forEach((count, i) => expect(count).toBeLessThanOrEqual(counts[0]![i]! + 1));
  });

  const REFUSED: [SparkEventOptions, string][] = [
    [{ at: new Date(START) }, 'it has both at and trueFor. Leave at out: '],
    [{ every: '7d', from: new Date(START) }, 'it has both every and trueFor. Leave every and from out: '],
    [{ trueFor: 999 }, 'its trueFor is 999, which is less than a second. Give sparkEvent a duration from a second'],
    [{ trueFor: 'soon' }, `its trueFor is "soon". Give sparkEvent a duration from a second to 100 years`],
    [{ trueFor: '101y' }, `its trueFor is "101y", which is more than 100 years.`],
  ];
  it('only if it is described well, and otherwise keeps what there is', async () => {
    await start(OwnRow);
    await save(false);
    await kit.drain();
    for (const [given, reason] of REFUSED) {
      options = given;
      await save(true);
      await save(false);
      await kit.drain();
      const [word] = (await app.spark.explain(Device, 1)).words;
      expect(word).toContain(`it cannot be entered: ${reason}`);
    }
    expect([await conditions(), await kit.events()]).toEqual([[['offline_1', 0]], []]);
    options = { trueFor: null };
    await save(false);
    await kit.drain();
    await app.spark.sweep();
    expect(await conditions()).toEqual([]);
    await expect(app.spark.emit(sparkEvent('offline', 2, {}, { trueFor: '1m' }))).rejects.toThrow(
      'it has trueFor. Let a source yield it, which Spark can run again.',
    );
  });

  it('and begins anew after a process ran that did not know of it', async () => {
    for (const source of [OwnRow, Plain, OwnRow]) {
      await start(source);
      await save(false);
      await app.spark.sweep();
      await kit.drain();
      const since = (clock.now() - START) / MINUTE;
      expect(await conditions()).toEqual(source === Plain ? [] : [['offline_1', since]]);
      clock.set(clock.now() + MINUTE);
      if (since < 2) await app.close();
    }
  });

  it('anew if its source has another name', async () => {
    await start(OwnRow);
    await save(false);
    await kit.drain();
    await app.close();
    await start(Renamed);
    await kit.advance('5m');
    await app.spark.sweep();
    await kit.drain();
    expect(await conditions()).toEqual([['offline_1', 5]]);
    await kit.advance('15m');
    expect(await kit.events()).toEqual(['offline_1']);
  });

  it('never where its keys differ from run to run, which pauses more and more', async () => {
    let runs = 0;
    options = {
      get occurrence() {
        return ++runs;
      },
    };
    await start(OwnRow);
    await save(false);
    await kit.drain();
    expect(runs).toBeLessThan(30);
    expect(await due()).toEqual([1]);
    await kit.advance('1m');
    expect(runs).toBeLessThan(60);
    expect(await due()).toEqual([3]);
  });

  it('only if its source says so, and only of an entity that Spark knows', async () => {
    await start(Undeclared);
    await save(false);
    await kit.drain();
    expect(app.logs.join('\n')).toContain(
      'it has trueFor, and its source does not say so. Give @EventSource on Undeclared.events the option trueFor: true.',
    );
    await app.close();
    options = { key: 'mine' };
    await start(Batch);
    await save(true);
    await save(false);
    await kit.drain();
    expect(app.logs.join('\n')).toContain('it has trueFor, and Spark does not know whose it is');
    expect(await conditions()).toEqual([]);
  });

  it('once if two entities yield its key, which is reported, and does not run in circles', async () => {
    options = { key: 'shared' };
    await start(OwnRow);
    await save(false);
    await kit.drain();
    await save(false, 2);
    await kit.drain();
    expect(await conditions()).toEqual([['shared', 0]]);
    expect(app.logs.join('\n')).toMatch(/The event shared of Device 2 .* does not begin to last/);
    await kit.advance('15m');
    expect(await kit.events()).toEqual(['shared']);
  });
});
