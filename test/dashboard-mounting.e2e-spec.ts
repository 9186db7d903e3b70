import {
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpException,
  type INestApplication,
  Injectable,
  type NestInterceptor,
  type PipeTransform,
  Query,
  SetMetadata,
  UnauthorizedException,
  VersioningType,
} from '@nestjs/common';
import { HttpAdapterHost, Reflector } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule, sparkEvent, UnknownDataSourceError } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkedPage, type DashboardApp, formIn, linkIn, startDashboardApp, textOf } from './support/dashboard-app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';

const Public = () => SetMetadata('isPublic', true);

@Controller({ path: 'parcels', version: '1' })
class ParcelsController {
  @Public()
  @Get()
  list(@Query('page') page?: string) {
    return { page };
  }
}

class TokenGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const isPublic = this.reflector.getAllAndOverride<boolean>('isPublic', [context.getHandler(), context.getClass()]);
    if (!isPublic) throw new UnauthorizedException();
    return true;
  }
}

@Injectable()
class Envelope implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

class NoText implements PipeTransform {
  transform(value: unknown) {
    return value === undefined ? 'none' : JSON.stringify(value);
  }
}

@Catch(HttpException)
class Failures implements ExceptionFilter<HttpException> {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: HttpException, host: any): void {
    const response: unknown = host.switchToHttp().getResponse();
    this.host.httpAdapter.reply(response, { failure: error.message }, error.getStatus());
  }
}

/** What applications set up for all their controllers. */
function configure(app: INestApplication): void {
  app.setGlobalPrefix('api/v9');
  app.enableVersioning({ type: VersioningType.URI });
  app.useGlobalGuards(new TokenGuard(app.get(Reflector)));
  app.useGlobalInterceptors(new Envelope());
  app.useGlobalPipes(new NoText());
  app.useGlobalFilters(new Failures(app.get(HttpAdapterHost)));
}

describe.each(['Express', 'Fastify'] as const)("the dashboard in an application, on 'SQLite' with %s,", (framework) => {
  let db: TestDatabase;
  let archive: TestDatabase;
  let app: DashboardApp;
  const mount = '/api/v9/spark';

  beforeAll(async () => {
    db = await databases[0]!.create();
    archive = await databases[0]!.create();
    app = await startDashboardApp({
      database: db,
      framework,
      entities: [Parcel],
      providers: [ParcelSource, ParcelHandlers],
      controllers: [ParcelsController],
      imports: [
        TypeOrmModule.forRoot({ ...archive.options, name: 'archive', entities: [], synchronize: true }),
        SparkModule.forRoot({ dataSource: 'archive', worker: false }),
      ],
      dashboards: [
        SparkDashboardModule.forRoot({ access: () => 'all', decorators: [Public()] }),
        SparkDashboardModule.forRoot({ path: 'private', access: () => 'all' }),
        SparkDashboardModule.forRoot({
          path: 'old',
          dataSource: 'archive',
          access: () => 'all',
          decorators: [Public()],
        }),
      ],
      spark: { worker: false },
      configure,
    });
    await app.spark.emit(sparkEvent('work', 'a/b?c=d&e#f%'));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
    await archive.drop();
  });

  it('is under the global prefix without a version, and global interceptors, pipes and guards work elsewhere', async () => {
    checkedPage(await app.get(`${mount}/`));
    const { body } = await app.get('/api/v9/v1/parcels');
    expect(body).toEqual({ data: { page: 'none' } });
  });

  it('passes the global guard only by its decorators, and then the global filter answers', async () => {
    const { status, body } = await app.get('/api/v9/private/');
    expect([status, body]).toEqual([401, { failure: 'Unauthorized' }]);
  });

  it('has the overview at the path with a slash, and all other pages without', async () => {
    const at = async (path: string) => {
      const { status, headers } = await app.get(path);
      return status === 307
        ? new URL(headers.location!, `http://host${path}`).href.slice('http://host'.length)
        : status;
    };
    expect(await at(`${mount}?x=1`)).toBe(`${mount}/?x=1`);
    expect(await at(`${mount}/`)).toBe(200);
    expect(await at(`${mount}/events`)).toBe(200);
    expect(await at(`${mount}/events/?group=work`)).toBe(`${mount}/events?group=work`);
    checkedPage(await app.get(`${mount}/nothing`), 404);
  });

  it('has links that lead to pages, wherever it is', async () => {
    const seen = new Set([`${mount}/`]);
    for (const path of seen) {
      const html = checkedPage(await app.get(path));
      for (const [, link] of html.matchAll(/<a href="([^"#]*)"/g)) {
        const { pathname, search } = new URL(link!.replaceAll('&amp;', '&'), `http://host${path}`);
        expect(pathname.startsWith(`${mount}/`), `${link} of ${path}`).toBe(true);
        seen.add(pathname + search);
      }
      expect(seen.size).toBeLessThan(100);
    }
    expect([...seen].some((path) => path.includes('/delivery?'))).toBe(true);
    expect(seen.size).toBeGreaterThan(15);
  });

  it('shows the DataSource that it is told', async () => {
    expect(textOf(checkedPage(await app.get(`${mount}/events`)))).toContain('1 in all');
    expect(textOf(checkedPage(await app.get('/api/v9/old/events')))).toContain('Nothing matches.');
  });

  it('acts, and logs what was done if there is no audit log', async () => {
    const question = checkedPage(
      await app.get(`${mount}/${linkIn(checkedPage(await app.get(`${mount}/deliveries`)), 'Discard')!}`),
    );
    const done = checkedPage(await app.post(`${mount}/${formIn(question, 'Discard')!}`));
    expect(textOf(done)).toContain('Deliveries that were discarded: 1.');
    expect(app.logs).toContain('log Dashboard: discard {} done, 1.');
  });

  it('does not boot for a DataSource without a SparkModule', async () => {
    const unknown = await databases[0]!.create();
    const boot = startDashboardApp({
      database: unknown,
      framework,
      entities: [],
      dashboards: [SparkDashboardModule.forRoot({ dataSource: 'nowhere' })],
      spark: { worker: false },
    });
    await expect(boot).rejects.toThrow(UnknownDataSourceError);
    await unknown.drop();
  });
});
