export { SparkHealthIndicator } from './spark-health-indicator.js';
export type { HealthProblem } from './health-problems.js';
export type { HealthLimit, LeaseLimit, SparkHealthOptions } from './health-options.js';
