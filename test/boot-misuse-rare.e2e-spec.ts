import { Injectable } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  DuplicateHandlerError,
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  NotAMethodError,
  NotStartedError,
  sparkEvent,
  SparkModule,
  SparkService,
  StaticMethodError,
  UnknownEntityError,
  UnsupportedDatabaseError,
  UnsupportedKeyError,
} from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryColumn, PrimaryGeneratedColumn, ViewColumn, ViewEntity } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { inMemory, refusal } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Entity()
class Share {
  @PrimaryColumn({ type: 'decimal' }) part: number;
}

const entities = [Item, Share];

describe('rarer misuse fails at boot', () => {
  it('two decorators on one method that share a name', async () => {
    @Injectable()
    class Mails {
      @GroupHandler(/^a/)
      @GroupHandler(/^b/)
      send() {}
    }
    const error = await refusal({ entities, providers: [Mails] });
    expect(error).toBeInstanceOf(DuplicateHandlerError);
    expect(error.message).toContain('"Mails.send"');
  });

  it('a view without a primary column', async () => {
    @ViewEntity({ expression: 'SELECT title FROM item' })
    class Title {
      @ViewColumn() title: string;
    }
    @Injectable()
    class Events {
      @EventSource(Title) titles() {
        return [];
      }
    }
    const error = await refusal({ entities: [...entities, Title], providers: [Events] });
    expect(error).toBeInstanceOf(UnsupportedKeyError);
    expect(error.message).toBe(
      'Title cannot have an event source: its primary key is missing. Give a view a primary column: @ViewColumn() and @PrimaryColumn().',
    );
  });

  it('an entity that only has the name of a known one', async () => {
    const namesake = class {};
    Object.defineProperty(namesake, 'name', { value: 'Item' });
    @Injectable()
    class Events {
      @EventSource(namesake) items() {
        return [];
      }
    }
    const error = await refusal({ entities, providers: [Events] });
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toMatch(/^Events\.items .*Item/);
  });

  it('a primary key of a decimal', async () => {
    @Injectable()
    class Events {
      @EventSource(Share) shares() {
        return [];
      }
    }
    const error = await refusal({ entities, providers: [Events] });
    expect(error).toBeInstanceOf(UnsupportedKeyError);
    expect(error.message).toMatch(/^Share .*primary key part .*decimal.*whole numbers, text or uuid/);
  });

  it('a database that Spark does not support', async () => {
    const elsewhere = TypeOrmModule.forRootAsync({
      name: 'elsewhere',
      useFactory: () => inMemory().options,
      dataSourceFactory: async (options) => {
        const dataSource = await new DataSource(options!).initialize();
        return Object.assign(dataSource, { options: { ...options, type: 'mssql' } });
      },
    });
    const imports = [elsewhere, SparkModule.forRoot({ dataSource: 'elsewhere' })];
    const error = await refusal({ entities, imports });
    expect(error).toBeInstanceOf(UnsupportedDatabaseError);
    expect(error.message).toMatch(/"mssql".*better-sqlite3, postgres, mysql and mariadb/);
  });

  describe('a decorator on', () => {
    const anywhere = (decorator: unknown) => decorator as MethodDecorator & PropertyDecorator;
    it.each([
      ['EventSource', anywhere(EventSource(Item))],
      ['GroupHandler', anywhere(GroupHandler(/./))],
    ])('a getter, a field, a static method: %s', (name, decorator) => {
      expect(() => {
        class Mails {
          @decorator get sender() {
            return 'me';
          }
        }
        return Mails;
      }).toThrow(new NotAMethodError(name, 'Mails.sender'));
      expect(() => {
        class Mails {
          @decorator send = () => undefined;
        }
        return Mails;
      }).toThrow(new NotAMethodError(name, 'Mails.send'));
      expect(() => {
        class Mails {
          @decorator static send() {}
        }
        return Mails;
      }).toThrow(new StaticMethodError('Mails.send'));
    });
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

    it('but what a backoff function gives is seen later: the log tells, and the default is used', async () => {
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

  it('each method of SparkService in a constructor', async () => {
    @Injectable()
    class Hasty {
      readonly calls: Promise<unknown>[];
      constructor(spark: SparkService) {
        const calls = [spark.sweep(), spark.drain(), spark.forget(Item, 1), spark.emit(sparkEvent('x', 1))];
        this.calls = calls.map((call: Promise<unknown>) => call.catch((error: unknown) => error));
      }
    }
    const { app, close } = await startApp({ database: inMemory(), entities, providers: [Hasty] });
    const errors = await Promise.all(app.get(Hasty).calls);
    await close();
    for (const error of errors) expect(error).toBeInstanceOf(NotStartedError);
  });
});
