import { Injectable } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import {
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  SparkModule,
  type SparkModuleAsyncOptions,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { refusal } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

const entities = [Item];
const says = (name: string) => new RegExp(`^Spark's option ${name.replaceAll('.', '\\.')} is .*Expected: `, 's');

describe('invalid options fail at boot, each by its name', () => {
  it.each<[string, object]>([
    ['isGlobal', { isGlobal: 'no' }],
    ['tablePrefix', { tablePrefix: '' }],
    ['tablePrefix', { tablePrefix: 'my-' }],
    ['tablePrefix', { tablePrefix: 'x'.repeat(41) }],
    ['tablePrefix', { tablePrefix: 5 }],
    ['schema', { schema: 'a b' }],
    ['schema', { schema: 'on_sqlite' }],
    ['dataSource', { dataSource: 7 }],
    ['dataSource', { dataSource: null }],
    ['live', { live: 'yes' }],
    ['sweep', { sweep: '* * * * *' }],
    ['sweep', { sweep: true }],
    ['sweep', { sweep: null }],
    ['sweep', { sweep: {} }],
    ['sweep', { sweep: { cron: 5 } }],
    ['sweep.cron', { sweep: { cron: 'every day' } }],
    ['sweep.cron', { sweep: { cron: '' } }],
    ['sweep.timeZone', { sweep: { cron: '* * * * *', timeZone: 'Mars/Base' } }],
    ['sweep.timezone', { sweep: { cron: '* * * * *', timezone: 'UTC' } }],
    ['sweep.interval', { sweep: { cron: '* * * * *', interval: 5 } }],
    ['sweep.interval', { sweep: { interval: 'soon' } }],
    ['sweep.interval', { sweep: { interval: 0 } }],
    ['sweep.interval', { sweep: { interval: -5 } }],
    ['sweep.interval', { sweep: { interval: Number.NaN } }],
    ['sweep.interval', { sweep: { interval: '25 days' } }],
    ['worker', { worker: 5 }],
    ['worker', { worker: true }],
    ['worker', { worker: null }],
    ['worker.concurrency', { worker: { concurrency: 0 } }],
    ['worker.concurrency', { worker: { concurrency: 1.5 } }],
    ['worker.concurrency', { worker: { concurrency: '5' } }],
    ['worker.pollInterval', { worker: { pollInterval: '' } }],
    ['worker.maxAttempts', { worker: { maxAttempts: Infinity } }],
    ['worker.handlerTimeout', { worker: { handlerTimeout: 0 } }],
    ['worker.threads', { worker: { threads: 2 } }],
    ['shutdownTimeout', { shutdownTimeout: '-1s' }],
    ['postgres', { postgres: true }],
    ['postgres.prepare', { postgres: { prepare: 'no' } }],
    ['postgres.pool', { postgres: { pool: 1 } }],
    ['sqlite', { sqlite: null }],
    ['sqlite', { sqlite: true }],
    ['sqlite.serialize', { sqlite: { serialize: 1 } }],
    ['sqlite.lockTimeout', { sqlite: { lockTimeout: 'ever' } }],
    ['tabelPrefix', { tabelPrefix: 'my_' }],
  ])('%s: %o', async (name, spark) => {
    const error = await refusal({ entities, spark, imports: [ScheduleModule.forRoot()] });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(says(name));
  });

  it.each<[string, object]>([
    ['live', { live: 1 }],
    ['dataSource', { dataSource: 'archive' }],
    ['isGlobal', { isGlobal: false }],
    ['tablePrefix', { tablePrefix: 'my_' }],
    ['schema', { schema: 'mine' }],
  ])('%s, from a factory: %o', async (name, given) => {
    const error = await refusal({ entities, spark: SparkModule.forRootAsync({ useFactory: () => given }) });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(says(name));
  });

  it('options that are none', () => {
    for (const options of [null, 7, () => undefined])
      expect(() => SparkModule.forRoot(options as object)).toThrow(says('forRoot'));
    expect(() => SparkModule.forRootAsync(null as unknown as SparkModuleAsyncOptions)).toThrow(says('forRootAsync'));
  });

  it('a pattern that is none', () => {
    for (const pattern of [undefined, null, 7, {}])
      expect(() => GroupHandler(pattern as RegExp)).toThrow(says('pattern of @GroupHandler'));
  });

  it('forRootAsync without a factory', () => {
    const options: SparkModuleAsyncOptions = {};
    expect(() => SparkModule.forRootAsync(options)).toThrow(says('forRootAsync'));
  });

  describe('of a decorator, with where it is', () => {
    @Injectable()
    class Coloured {
      @EventSource(Item, { where: { colour: 'red' } as object }) items() {
        return [];
      }
    }
    @Injectable()
    class Related {
      @EventSource(Item, { relations: { parts: true } as object }) items() {
        return [];
      }
    }
    @Injectable()
    class Nameless {
      @EventSource(Item, { name: '' }) items() {
        return [];
      }
    }
    @Injectable()
    class LongNamed {
      @GroupHandler(/./, { name: 'x'.repeat(101) }) send() {}
    }
    @Injectable()
    class Tireless {
      @GroupHandler(/./, { maxAttempts: 0 }) send() {}
    }
    @Injectable()
    class Hurried {
      @GroupHandler(/./, { backoff: { base: 'at once' } }) send() {}
    }
    @Injectable()
    class Careless {
      @GroupHandler(/./, { missing: 'ignore' as 'discard' }) send() {}
    }
    @Injectable()
    class MisspeltSource {
      @EventSource(Item, { relation: {} } as object) items() {
        return [];
      }
    }
    @Injectable()
    class Optionless {
      @EventSource(Item, null as unknown as object) items() {
        return [];
      }
    }
    @Injectable()
    class MisspeltHandler {
      @GroupHandler(/./, { maxAttempt: 3 } as object) send() {}
    }
    @Injectable()
    class Lively {
      @EventSource(Item, { live: 'yes' as unknown as boolean }) items() {
        return [];
      }
    }

    it.each([
      ['where', Coloured, 'Coloured.items'],
      ['relations', Related, 'Related.items'],
      ['name', Nameless, 'Nameless.items'],
      ['name', LongNamed, 'LongNamed.send'],
      ['maxAttempts', Tireless, 'Tireless.send'],
      ['backoff', Hurried, 'Hurried.send'],
      ['missing', Careless, 'Careless.send'],
      ['relation', MisspeltSource, 'MisspeltSource.items'],
      ['options', Optionless, 'Optionless.items'],
      ['maxAttempt', MisspeltHandler, 'MisspeltHandler.send'],
      ['live', Lively, 'Lively.items'],
    ])('%s', async (name, provider, where) => {
      const error = await refusal({ entities, providers: [provider] });
      expect(error).toBeInstanceOf(InvalidOptionsError);
      expect(error.message).toContain(name);
      expect(error.message).toContain(where);
    });
  });

  it.each([1.5, Number.NaN, new Date()])('a SPARK_CLOCK that gives no whole milliseconds: %o', async (now) => {
    const error = await refusal({ entities, clock: { now: () => now as number } });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(/^SPARK_CLOCK is .* Expected: now\(\) in whole epoch milliseconds/s);
  });
});
