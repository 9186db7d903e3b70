export { ClockBackwardsError, TestClock } from './test-clock.js';
export { SourceLintError, type SourceProblem } from './source-linter.js';
export { SparkTestKit, type TestDelivery } from './spark-test-kit.js';
