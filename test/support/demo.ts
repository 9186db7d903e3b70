import { Test } from '@nestjs/testing';
import { SPARK_CLOCK, type SparkService } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { DataSource } from 'typeorm';
import { AppModule } from '../../apps/challenges/src/app.module.js';
import { SampleChallenges } from '../../apps/challenges/src/challenge/sample-challenges.js';
import { settingsFrom } from '../../apps/challenges/src/settings.js';
import { SampleSupporters } from '../../apps/challenges/src/supporter/sample-supporters.js';

/** The example application with its samples, at a time that does not go on by itself. */
export interface Demo {
  /** The address of its dashboard, with a slash at its end. */
  readonly base: string;
  readonly spark: SparkService;
  readonly kit: SparkTestKit;
  readonly dataSource: DataSource;
  close(): Promise<void>;
}

const NOW = '2026-06-01T12:00:00Z';

/** Starts it with its data in a folder. All that is due is done. */
export async function startDemo(folder: string): Promise<Demo> {
  const clock = new TestClock(NOW);
  const module = await Test.createTestingModule({ imports: [AppModule.forRoot(settingsFrom({ DATA: folder }))] })
    .overrideProvider(SPARK_CLOCK)
    .useValue(clock)
    .overrideProvider(SampleChallenges)
    .useValue({})
    .setLogger({ log: () => {}, error: () => {}, warn: () => {} })
    .compile();
  const app = module.createNestApplication();
  await app.listen(0, '127.0.0.1');
  const dataSource = app.get(DataSource);
  const kit = new SparkTestKit(app);
  await new SampleChallenges(dataSource).add(clock.date);
  await app.get(SampleSupporters).add(clock.date);
  await kit.drain();
  return { base: `${await app.getUrl()}/spark/`, spark: kit.spark, kit, dataSource, close: () => app.close() };
}
