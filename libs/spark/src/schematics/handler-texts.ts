export interface HandlerNames {
  readonly className: string;
  /** The name of its file, without the extension. */
  readonly file: string;
  readonly isEsm: boolean;
  /** The group of its events. */
  readonly group: string;
  /** The name that its deliveries belong to. */
  readonly handler: string;
}

export const handlerText = ({ className, group, handler }: HandlerNames): string =>
  `import { Injectable, Logger } from '@nestjs/common';
import { GroupHandler, type SparkEvent, type SparkHandler } from 'nestjs-spark';

/** Handles the events of the group ${group}. */
@GroupHandler(/^${group}$/, { name: '${handler}' })
@Injectable()
export class ${className} implements SparkHandler {
  private readonly logger = new Logger(${className}.name);

  /** It may be called again for the same event: event.key is the idempotency key. */
  handle(event: SparkEvent) {
    this.logger.log(event.key);
  }
}
`;

export const handlerSpecText = ({ className, file, isEsm, group, handler }: HandlerNames): string =>
  `import { Test, type TestingModule } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SPARK_CLOCK, sparkEvent, SparkModule } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { ${className} } from './${file}${isEsm ? '.js' : ''}';

describe('${className}', () => {
  let module: TestingModule;
  let kit: SparkTestKit;

  beforeEach(async () => {
    module = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot({
          type: 'better-sqlite3',
          database: ':memory:',
          synchronize: true,
        }),
        SparkModule.forRoot(),
      ],
      providers: [${className}],
    })
      .overrideProvider(SPARK_CLOCK)
      .useValue(new TestClock())
      .compile();
    kit = new SparkTestKit(await module.init());
  });

  afterEach(() => module.close());

  it('handles ${group}', async () => {
    await kit.spark.emit(sparkEvent('${group}', 1));
    await kit.drain();
    expect(await kit.deliveries('${handler}')).toMatchObject([
      { key: '${group}_1', state: 'completed' },
    ]);
  });
});
`;
