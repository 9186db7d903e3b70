import {
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  SetMetadata,
  UnauthorizedException,
  VersioningType,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { type DeliveryRecordFilter, type SparkService, sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import { type DashboardApp, type Framework, startDashboardApp } from './dashboard-app.js';
import { databases, type TestDatabase } from './databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './parcels.js';

const FRAMEWORKS: readonly Framework[] = ['Express', 'Fastify'];

/**
 * Each database with each framework. Where JavaScript is on, and where the application has a global prefix, change so that each of the four has
 * been seen with each choice of the others.
 */
export const arms = databases.flatMap((database, i) =>
  FRAMEWORKS.map((framework, j) => {
    const javaScriptEnabled = (i + j) % 2 === 0;
    return {
      ...database,
      framework,
      javaScriptEnabled,
      mode: javaScriptEnabled ? 'with' : 'without',
      isPrefixed: i === 0 ? j === 1 : j === 0,
    };
  }),
);

export type Arm = (typeof arms)[number];

const Public = () => SetMetadata('isPublic', true);

class TokenGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const isPublic = this.reflector.get<boolean | undefined>('isPublic', context.getClass());
    if (!isPublic) throw new UnauthorizedException();
    return true;
  }
}

class BadgeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest().headers['x-badge'] !== undefined;
  }
}

/** What applications set up for all their controllers, with a policy of their own that allows nothing. */
function configure(app: INestApplication): void {
  app.setGlobalPrefix('api/v9');
  app.enableVersioning({ type: VersioningType.URI });
  app.useGlobalGuards(new TokenGuard(app.get(Reflector)));
  app.use((_request: unknown, response: any, next: () => void) => {
    response.setHeader('Content-Security-Policy', "default-src 'none'");
    next();
  });
}

/** An application with parcels, and with dashboards that browsers can open. */
export class BrowsedApp {
  private isOpen = true;

  private constructor(
    private readonly db: TestDatabase,
    private readonly app: DashboardApp,
    readonly handlers: ParcelHandlers,
    /** Where its dashboards are, with a slash at its end. */
    readonly root: string,
  ) {}

  /**
   * Starts it. `labels` has failed for one of two parcels, and a sweep has found 15 others, so that their deliveries are held. Below `spark/` a
   * person may do all, below `reading/` only read; `guarded/` needs a header, `refusing/` lets nobody in, and `closed/` has no options.
   */
  static async start({ create, framework, isPrefixed }: Arm): Promise<BrowsedApp> {
    const db = await create();
    const handlers = new ParcelHandlers();
    const decorators = [Public()];
    const app = await startDashboardApp({
      database: db,
      framework,
      entities: [Parcel],
      providers: [ParcelSource, { provide: ParcelHandlers, useValue: handlers }],
      dashboards: [
        SparkDashboardModule.forRoot({ decorators, access: () => 'all', environment: 'test' }),
        SparkDashboardModule.forRoot({ decorators, path: 'reading', access: () => 'read' }),
        SparkDashboardModule.forRoot({ decorators, path: 'guarded', guards: [BadgeGuard] }),
        SparkDashboardModule.forRoot({ decorators, path: 'refusing', access: () => false }),
        SparkDashboardModule.forRoot({ decorators, path: 'closed' }),
      ],
      spark: { activation: { limit: 0 } },
      clock: new TestClock('2026-03-01T10:00:00Z'),
      ...(isPrefixed && { configure }),
    });
    const browsed = new BrowsedApp(db, app, handlers, `${await app.listen()}${isPrefixed ? '/api/v9/' : '/'}`);
    await browsed.fill();
    return browsed;
  }

  get spark(): SparkService {
    return this.app.spark;
  }

  private async fill(): Promise<void> {
    const due = String(Date.parse('2026-03-03T09:00:00Z'));
    this.handlers.failing.set('labels parcel_sent_2', 'No printer');
    await this.app.dataSource.manager.save(
      Parcel,
      [1, 2].map((id) => ({ id, sender: 'Ada', due })),
    );
    await this.spark.drain();
    await this.insertRows(100, 15);
    await this.spark.sweep();
  }

  /** Inserts parcels that only a sweep finds. */
  async insertRows(from: number, count: number): Promise<void> {
    const rows = Array.from({ length: count }, (_, i) => `(${from + i}, 'Raw', 4102444800000)`);
    await this.app.dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES ${rows.join()}`);
  }

  /** Makes deliveries of a group that their handler has failed for. */
  async fail(group: string, count: number, error: string): Promise<void> {
    this.handlers.failing.set(`works ${group}`, error);
    await this.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, i)));
    await this.spark.drain();
    this.handlers.failing.delete(`works ${group}`);
    const failed = await this.countOf({ group, state: 'discarded' });
    if (failed !== count) throw new Error(`${failed} deliveries of ${group} have failed, and ${count} should have.`);
  }

  async countOf(filter: DeliveryRecordFilter): Promise<number> {
    return (await this.spark.deliveries(filter, { limit: 1, countUpTo: 1_000 })).count!;
  }

  /** The id of one of the deliveries. */
  async idOf(filter: DeliveryRecordFilter): Promise<string> {
    return (await this.spark.deliveries(filter, { limit: 1 })).records[0]!.id;
  }

  /** Closes the application, if it is open. */
  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await this.app.close();
    await this.db.drop();
  }
}
