import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  EventSource,
  getSparkToken,
  InvalidOptionsError,
  MissingHookError,
  RequestScopedError,
  sparkEvent,
  SparkInterceptor,
  SparkModule,
  type SparkService,
  UnknownDataSourceError,
} from 'nestjs-spark';
import { Entity, PrimaryColumn } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { inMemory, refusal } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryColumn() id: number;
}

@Injectable()
class Items {
  @EventSource(Item, { dataSource: 'default' }) *items({ id }: Item) {
    yield sparkEvent('item', id);
  }
}

const added = (name: string) => ({ metadata: () => ({ [name]: true }) });

describe('interceptors are found', () => {
  it('each once, however often it is provided, made by a factory or given as a value', async () => {
    const calls: string[] = [];
    @SparkInterceptor()
    class Twice {
      metadata() {
        calls.push('twice');
        return undefined;
      }
    }
    @Module({ providers: [Twice] })
    class Other {}
    @SparkInterceptor()
    class Made {
      constructor(private readonly name: string) {}
      metadata = () => void calls.push(this.name);
    }
    const app = await startApp({
      database: inMemory(),
      entities: [],
      imports: [{ module: Other }],
      providers: [
        Twice,
        { provide: 'alias', useExisting: Twice },
        { provide: 'made', useFactory: async () => new Made('made') },
        { provide: 'value', useValue: new Made('value') },
      ],
    });
    await app.spark.emit(sparkEvent('a', 1));
    await app.close();
    expect(calls.toSorted()).toEqual(['made', 'twice', 'value']);
  });

  it('for the DataSource that they name, or for all', async () => {
    @SparkInterceptor()
    class Everywhere {
      metadata = added('everywhere').metadata;
    }
    @SparkInterceptor({ dataSource: 'archive' })
    class Archive {
      metadata = added('archive').metadata;
    }
    @SparkInterceptor({ dataSource: 'default' })
    class Default {
      metadata = added('default').metadata;
    }
    const app = await startApp({
      database: inMemory(),
      entities: [Item],
      imports: [
        TypeOrmModule.forRoot({ ...inMemory().options, name: 'archive', entities: [Item], synchronize: true }),
        SparkModule.forRoot({ dataSource: 'archive' }),
      ],
      providers: [Items, Everywhere, Archive, Default],
    });
    const archive = app.app.get<SparkService>(getSparkToken('archive'));
    await archive.emit(sparkEvent('a', 1));
    await app.spark.emit(sparkEvent('a', 1));
    expect((await archive.events()).records[0]!.metadata).toEqual({ everywhere: true, archive: true });
    expect((await app.spark.events()).records[0]!.metadata).toEqual({ everywhere: true, default: true });
    await app.close();
  });

  it('and what is wrong with them fails at boot', async () => {
    @SparkInterceptor()
    class Empty {
      metadata?: () => undefined;
    }
    @SparkInterceptor()
    class Wrong {
      metadata = { tenant: 'acme' } as never;
    }
    @SparkInterceptor({ dataSources: 'default' } as object)
    class Misspelled {
      metadata() {
        return undefined;
      }
    }
    @SparkInterceptor({ dataSource: 'nowhere' })
    class Nowhere {
      metadata() {
        return undefined;
      }
    }
    @SparkInterceptor()
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      metadata() {
        return undefined;
      }
    }
    @SparkInterceptor()
    class Dependent {
      constructor(@Inject(Scoped) readonly scoped: Scoped) {}
      metadata() {
        return undefined;
      }
    }
    const cases = [
      [[Empty], MissingHookError, 'Empty is decorated with @SparkInterceptor but has none'],
      [[Wrong], InvalidOptionsError, 'metadata of @SparkInterceptor on Wrong'],
      [[Misspelled], InvalidOptionsError, 'dataSources of @SparkInterceptor on Misspelled'],
      [[Nowhere], UnknownDataSourceError, 'Nowhere'],
      [[Scoped], RequestScopedError, 'Scoped'],
      [[Dependent, Scoped], RequestScopedError, 'Dependent'],
    ] as const;
    for (const [providers, type, message] of cases) {
      const error = await refusal({ entities: [], providers: [...providers] });
      expect(error).toBeInstanceOf(type);
      expect(error.message).toContain(message);
    }
  });
});
