import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  Module,
  NotFoundException,
  UnauthorizedException,
} from '@nestjs/common';
import { InvalidOptionsError, sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkedPage, type DashboardApp, startDashboardApp, textOf } from './support/dashboard-app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers } from './support/parcels.js';

@Injectable()
class Users {
  nameOf(request: any): string | undefined {
    return request.headers['x-user'];
  }
}

@Module({ providers: [Users], exports: [Users] })
class UsersModule {}

@Injectable()
class LoginGuard implements CanActivate {
  constructor(private readonly users: Users) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.users.nameOf(context.switchToHttp().getRequest()) === undefined) throw new UnauthorizedException();
    return true;
  }
}

const ADA = { 'x-user': 'ada' };
const PAGES = ['', 'events', 'deliveries', 'plan?days=1', 'act?do=retry', 'nothing'];

describe.each(['Express', 'Fastify'] as const)("who may see the dashboard, on 'SQLite' with %s:", (framework) => {
  let db: TestDatabase;
  let app: DashboardApp;

  beforeAll(async () => {
    db = await databases[0]!.create();
    app = await startDashboardApp({
      database: db,
      framework,
      entities: [Parcel],
      providers: [ParcelHandlers],
      dashboards: [
        SparkDashboardModule.forRoot(),
        SparkDashboardModule.forRoot({ path: 'empty', guards: [] }),
        SparkDashboardModule.forRoot({ path: 'guarded', guards: [LoginGuard], imports: [UsersModule] }),
        SparkDashboardModule.forRoot({
          path: 'both',
          guards: [LoginGuard],
          imports: [UsersModule],
          access: async ({ headers }) => headers['x-user'] === 'ada' && 'read',
        }),
        SparkDashboardModule.forRootAsync({
          path: 'admin/late',
          imports: [UsersModule],
          inject: [Users],
          useFactory: (users: Users) => ({
            title: 'Late',
            access: (request) => (users.nameOf(request) === 'ada' ? 'all' : false),
          }),
        }),
        SparkDashboardModule.forRoot({
          path: 'throwing',
          access: () => {
            throw new NotFoundException();
          },
        }),
        SparkDashboardModule.forRoot({ path: 'wrong', access: () => true as never }),
      ],
      spark: { worker: false },
    });
    await app.spark.emit(sparkEvent('parcel_secret', 1));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  it.each(['spark', 'empty'])('nobody without guards and access, and the page says what to write: %s', async (path) => {
    for (const page of PAGES) {
      const html = checkedPage(await app.get(`/${path}/${page}`), 403);
      expect(textOf(html)).toContain('SparkDashboardModule.forRoot({ guards: [AdminGuard] })');
      expect(html).not.toMatch(/parcel_secret|<nav/);
    }
    checkedPage(await app.post(`/${path}/act?do=discard`), 403);
    expect((await app.spark.deliveries({ state: 'available' })).records).toHaveLength(1);
  });

  it('whoever the guards let through, with their injected services; the application answers others', async () => {
    const refused = await app.get('/guarded/events');
    expect([refused.status, refused.body.message]).toEqual([401, 'Unauthorized']);
    expect((await app.get('/guarded/style.css')).status).toBe(401);
    expect((await app.post('/guarded/act?do=discard')).status).toBe(401);
    expect(textOf(checkedPage(await app.get('/guarded/events', ADA)))).toContain('parcel_secret_1');
    checkedPage(await app.get('/guarded/act?do=retry', ADA));
  });

  it('those of the guards that access allows, as it allows them', async () => {
    expect((await app.get('/both/events')).status).toBe(401);
    expect(textOf(checkedPage(await app.get('/both/events', { 'x-user': 'bob' }), 403))).toContain(
      'You may not see this',
    );
    checkedPage(await app.get('/both/events', ADA));
    checkedPage(await app.post('/both/act?do=retry', ADA), 403);
  });

  it('those that a factory with injected services allows, at a path of several parts', async () => {
    const html = checkedPage(await app.get('/admin/late/', ADA));
    expect(html).toContain('<title>Overview · Late</title>');
    expect((await app.get('/admin/late')).headers.location).toBe('./late/');
    checkedPage(await app.get('/admin/late/'), 403);
  });

  it('nobody if access throws or returns anything else', async () => {
    expect((await app.get('/throwing/events')).status).toBe(404);
    expect((await app.post('/throwing/act?do=retry')).status).toBe(404);
    checkedPage(await app.get('/wrong/events'), 403);
    expect(app.logs.join('\n')).toContain('The option access of SparkDashboardModule has returned true');
  });

  it('nobody by an option that is not valid', async () => {
    const { forRoot, forRootAsync } = SparkDashboardModule;
    for (const [options, words] of [
      [{ acces: () => 'all' }, /forRoot { acces }.*Expected: one of path/],
      [{ access: 'all' }, /a function that returns 'all'/],
      [{ guards: LoginGuard }, /a list of guards/],
      [{ redact: true }, /a function, or false/],
      [{ actTime: -1 }, /whole milliseconds/],
      [{ title: '' }, /text/],
    ] as const)
      for (const error of [InvalidOptionsError, words]) expect(() => forRoot(options as never)).toThrow(error);
    expect(() => forRootAsync({ access: () => 'all' } as never)).toThrow(/forRootAsync { access }/);
    expect(() => forRootAsync({} as never)).toThrow(/useFactory/);
  });
});
