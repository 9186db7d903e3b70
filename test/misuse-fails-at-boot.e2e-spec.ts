import { Injectable, Scope } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  AmbiguousDataSourceError,
  DuplicateHandlerError,
  DuplicateModuleError,
  DuplicateSourceError,
  EventSource,
  GroupHandler,
  MissingMethodError,
  MissingSchedulerError,
  MissingTablesError,
  NotAMethodError,
  NotStartedError,
  RequestScopedError,
  sparkMigrations,
  SparkModule,
  SparkService,
  StaticMethodError,
  UnknownDataSourceError,
  UnknownEntityError,
  UnsupportedKeyError,
} from 'nestjs-spark';
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp, type TestAppOptions } from './support/app.js';
import { inMemory, refusal as refusalOf } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Entity()
class Stranger {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
}

@Entity()
class Dated {
  @PrimaryColumn({ type: 'datetime' }) day: Date;
}

const refusal = (options: Partial<TestAppOptions>) => refusalOf({ entities: [Item, Dated], ...options });

/** A second DataSource, of its own database. */
const archive = (entities: TestAppOptions['entities'] = [Item]) =>
  TypeOrmModule.forRoot({ ...inMemory().options, name: 'archive', entities, synchronize: true });

describe('misuse fails at boot and says what, where and what to do', () => {
  it('two handlers with one name', async () => {
    @Injectable()
    class Mails {
      @GroupHandler(/a/, { name: 'mails' }) first() {}
    }
    @Injectable()
    class Letters {
      @GroupHandler(/b/, { name: 'mails' }) second() {}
    }
    const error = await refusal({ providers: [Mails, Letters] });
    expect(error).toBeInstanceOf(DuplicateHandlerError);
    expect(error.message).toMatch(/"mails": Mails\.first and Letters\.second\b.*@GroupHandler\(.*name:/);
  });

  it('two event sources with one name', async () => {
    @Injectable()
    class Events {
      @EventSource(Item, { name: 'items' }) first() {
        return [];
      }
      @EventSource(Item, { name: 'items' }) second() {
        return [];
      }
    }
    const error = await refusal({ providers: [Events] });
    expect(error).toBeInstanceOf(DuplicateSourceError);
    expect(error.message).toMatch(/"items": .*Events\.first.* and .*Events\.second\b.*@EventSource\(.*name:/);
  });

  describe('a provider that is not a singleton', () => {
    @Injectable({ scope: Scope.REQUEST })
    class Request {}

    @Injectable({ scope: Scope.REQUEST })
    class RequestEvents {
      @EventSource(Item) events() {
        return [];
      }
    }
    @Injectable()
    class DependingEvents {
      constructor(readonly request: Request) {}
      @EventSource(Item) events() {
        return [];
      }
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class TransientMails {
      @GroupHandler(/./) send() {}
    }
    @Injectable()
    class DependingMails {
      constructor(readonly request: Request) {}
      @GroupHandler(/./) send() {}
    }
    @GroupHandler(/./)
    @Injectable({ scope: Scope.REQUEST })
    class ClassMails {
      handle() {}
    }

    it.each([
      ['request-scoped', [RequestEvents], 'RequestEvents.events'],
      ['depending on a request-scoped one', [Request, DependingEvents], 'DependingEvents.events'],
      ['transient', [TransientMails], 'TransientMails.send'],
      ['depending on a request-scoped one, a handler', [Request, DependingMails], 'DependingMails.send'],
      ['a handler class', [ClassMails], 'ClassMails.handle'],
      [
        'made by a factory',
        [{ provide: RequestEvents, scope: Scope.REQUEST, useFactory: () => new RequestEvents() }],
        'RequestEvents.events',
      ],
    ])('%s', async (_, providers, where) => {
      const error = await refusal({ providers });
      expect(error).toBeInstanceOf(RequestScopedError);
      expect(error.message).toMatch(new RegExp(`^Spark cannot call ${where}: .*Make the provider a singleton`));
    });
  });

  it('an entity that no DataSource with a SparkModule knows', async () => {
    @Injectable()
    class Events {
      @EventSource(Stranger) strangers() {
        return [];
      }
    }
    const error = await refusal({ providers: [Events] });
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toMatch(/^Events\.strangers .*Stranger.*forFeature\(\[Stranger\]\)/);
  });

  it('an entity that only a DataSource without a SparkModule knows', async () => {
    @Injectable()
    class Events {
      @EventSource(Stranger) strangers() {
        return [];
      }
    }
    const error = await refusal({ providers: [Events], imports: [archive([Stranger])] });
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toContain('Events.strangers');
  });

  it('an entity that is undefined, as in a circular import', async () => {
    @Injectable()
    class Events {
      @EventSource(undefined as unknown as typeof Item) events() {
        return [];
      }
    }
    const error = await refusal({ providers: [Events] });
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toMatch(/^Events\.events .*circular import/);
  });

  it('an entity whose key cannot be kept', async () => {
    @Injectable()
    class Events {
      @EventSource(Dated) days() {
        return [];
      }
    }
    const error = await refusal({ providers: [Events] });
    expect(error).toBeInstanceOf(UnsupportedKeyError);
    expect(error.message).toMatch(/^Dated .*primary key day .*datetime/);
  });

  it('a class without its method', async () => {
    @Injectable()
    class Events {}
    EventSource(Item)(Events as never);
    @Injectable()
    class Mails {}
    GroupHandler(/./)(Mails as never);

    const source = await refusal({ providers: [Events] });
    expect(source).toBeInstanceOf(MissingMethodError);
    expect(source.message).toMatch(/^Events .*@EventSource .*events\(\).*Add it/);
    const handler = await refusal({ providers: [Mails] });
    expect(handler).toBeInstanceOf(MissingMethodError);
    expect(handler.message).toMatch(/^Mails .*@GroupHandler .*handle\(\).*Add it/);
  });

  it('a source or handler on what cannot be called', () => {
    const source = EventSource(Item) as (target: object, key: string, descriptor?: PropertyDescriptor) => void;
    class Events {
      static all() {}
      get some() {
        return [];
      }
    }
    const on = (target: object, key: string) => () => source(target, key, Object.getOwnPropertyDescriptor(target, key));
    expect(on(Events, 'all')).toThrow(StaticMethodError);
    expect(on(Events, 'all')).toThrow(/^Spark cannot call Events\.all: .*static.*method of the instance/);
    expect(on(Events.prototype, 'some')).toThrow(NotAMethodError);
    expect(on(Events.prototype, 'some')).toThrow(/@EventSource on Events\.some .*Put it on a method/);
    expect(on(Events.prototype, 'field')).toThrow(NotAMethodError);
    expect(() => GroupHandler('(')).toThrow(SyntaxError);
  });

  describe('a second SparkModule for the same DataSource', () => {
    it.each<[string, () => TestAppOptions['imports']]>([
      ['with the same options', () => [SparkModule.forRoot()]],
      ['with other options', () => [SparkModule.forRoot({ tablePrefix: 'other_', isGlobal: false })]],
      ['from a factory', () => [SparkModule.forRootAsync({ useFactory: () => ({}) })]],
    ])('%s', async (_, imports) => {
      const error = await refusal({ imports: imports() });
      expect(error).toBeInstanceOf(DuplicateModuleError);
      expect(error.message).toMatch(/the default DataSource.*in the root module/);
    });

    it('of a named DataSource', async () => {
      const twice = [SparkModule.forRoot({ dataSource: 'archive' }), SparkModule.forRoot({ dataSource: 'archive' })];
      const error = await refusal({ imports: [archive(), ...twice] });
      expect(error).toBeInstanceOf(DuplicateModuleError);
      expect(error.message).toMatch(/the archive DataSource/);
    });
  });

  it('a sweep schedule without ScheduleModule', async () => {
    for (const sweep of [{ cron: '* * * * *' }, { interval: '1m' }]) {
      const error = await refusal({ spark: { sweep } });
      expect(error).toBeInstanceOf(MissingSchedulerError);
      expect(error.message).toMatch(/sweep schedule.*ScheduleModule\.forRoot\(\)/);
    }
  });

  it('tables missing; with the migrations they are there', async () => {
    const spark = { tablePrefix: 'my_' };
    const error = await refusal({ dataSource: { synchronize: false }, spark });
    expect(error).toBeInstanceOf(MissingTablesError);
    expect(error.message).toMatch(
      /my_event, my_delivery, my_recheck, my_handler.*sparkMigrations\(\{ tablePrefix: 'my_' \}\)/,
    );

    const migrations = [...sparkMigrations(spark)];
    const dataSource = { synchronize: false, migrationsRun: true, migrations };
    expect((await refusal({ dataSource, spark })).message).toBe('it started');
  });

  describe('a DataSource that is not clear', () => {
    @Injectable()
    class Lost {
      @EventSource(Item, { dataSource: 'nowhere' }) items() {
        return [];
      }
    }
    @Injectable()
    class LostMails {
      @GroupHandler(/./, { dataSource: 'nowhere' }) send() {}
    }
    @Injectable()
    class Unclear {
      @EventSource(Item) items() {
        return [];
      }
    }

    it('a name without a SparkModule', async () => {
      for (const [provider, where] of [
        [Lost, 'Lost.items'],
        [LostMails, 'LostMails.send'],
      ] as const) {
        const error = await refusal({ providers: [provider] });
        expect(error).toBeInstanceOf(UnknownDataSourceError);
        expect(error.message).toMatch(new RegExp(`^${where} .*"nowhere".*SparkModule\\.forRoot`));
      }
    });

    it('an entity that two know', async () => {
      const error = await refusal({
        imports: [archive(), SparkModule.forRoot({ dataSource: 'archive' })],
        providers: [Unclear],
      });
      expect(error).toBeInstanceOf(AmbiguousDataSourceError);
      expect(error.message).toMatch(/^Unclear\.items .*Item.*default, archive.*dataSource:/);
    });
  });

  it('SparkService in a constructor', async () => {
    @Injectable()
    class Hasty {
      readonly sweep: Promise<unknown>;
      constructor(spark: SparkService) {
        this.sweep = spark.sweep().catch((error: unknown) => error);
      }
    }
    const app = await startApp({ database: inMemory(), entities: [Item], providers: [Hasty] });
    const error = await app.app.get(Hasty).sweep;
    await app.close();
    expect(error).toBeInstanceOf(NotStartedError);
    expect((error as Error).message).toMatch(/app\.init\(\)/);
  });
});
