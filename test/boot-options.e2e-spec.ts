import { Injectable } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import {
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  sparkEvent,
  SparkModule,
  type SparkModuleAsyncOptions,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { inMemory, refusal } from './support/refusal.js';

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
    ['handlerExpiry', { handlerExpiry: '4m' }],
    ['handlerExpiry', { handlerExpiry: -1 }],
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
    class Lasting {
      @EventSource(Item, { trueFor: '15m' as unknown as boolean }) items() {
        return [];
      }
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
      ['trueFor', Lasting, 'Lasting.items'],
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

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
  ])('a factory that gives %s', async (_, given) => {
    const spark = SparkModule.forRootAsync({ useFactory: () => given as object });
    const error = await refusal({ entities, spark });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toContain(
      `the factory of forRootAsync is ${String(given)}. Expected: { live, autoStart, sweep`,
    );
  });

  it('an option beside a factory that the factory has to give', () => {
    const options = { useFactory: () => ({}), live: false };
    expect(() => SparkModule.forRootAsync(options)).toThrow(
      `Spark's option live is false. Expected: it in what the factory of forRootAsync returns, not beside it.`,
    );
  });

  it('an option from a factory that belongs beside it', async () => {
    const spark = SparkModule.forRootAsync({ useFactory: () => ({ tablePrefix: 'my_' }) as object });
    const error = await refusal({ entities, spark });
    expect(error.message).toContain(`Spark's option tablePrefix is 'my_'. Expected: it beside the factory`);
  });

  it('an interval that is missing', async () => {
    const error = await refusal({
      entities,
      spark: { sweep: { interval: undefined } as object as { interval: string } },
    });
    expect(error.message).toContain(`Spark's option sweep is { interval: undefined }. Expected: false`);
  });

  describe('options of decorators', () => {
    it('a query that throws', async () => {
      const query = () => {
        throw new Error('no such alias');
      };
      @Injectable()
      class Events {
        @EventSource(Item, { query }) items() {
          return [];
        }
      }
      const error = await refusal({ entities, providers: [Events] });
      expect(error).toBeInstanceOf(InvalidOptionsError);
      expect(error.message).toMatch(/Events\.items.*that fit Item: no such alias/s);
    });

    it.each<[string, object | string, string]>([
      ['text', '5s', `backoff of @GroupHandler on Mails.send is '5s'. Expected: { base, max }`],
      ['of unknown options', { least: 5 }, 'backoff.least of @GroupHandler on Mails.send is unknown'],
      ['of a negative base', { base: -1 }, 'backoff.base of @GroupHandler on Mails.send is -1'],
      ['of an endless maximum', { max: Infinity }, 'backoff.max of @GroupHandler on Mails.send is Infinity'],
    ])('a backoff that is %s', async (_, backoff, what) => {
      @Injectable()
      class Mails {
        @GroupHandler(/./, { backoff: backoff as object }) send() {}
      }
      const error = await refusal({ entities, providers: [Mails] });
      expect(error).toBeInstanceOf(InvalidOptionsError);
      expect(error.message).toContain(`Spark's option ${what}`);
    });

    it('but what a backoff function gives is seen later: it is logged, and the default is used', async () => {
      @Injectable()
      class Mails {
        @GroupHandler(/./, { name: 'mails', backoff: () => 0 }) send() {
          throw new Error('out of paper');
        }
      }
      const { spark, dataSource, logs, close } = await startApp({ database: inMemory(), entities, providers: [Mails] });
      await spark.emit(sparkEvent('x', 1));
      await spark.drain();
      expect(await dataSource.query('SELECT state, attempt FROM spark_delivery')).toEqual([
        { state: 'available', attempt: 1 },
      ]);
      expect(logs.join('\n')).toMatch(/The backoff of mails failed; .*Spark's option backoff is 0/);
      await close();
    });
  });
});
