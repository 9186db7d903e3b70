/**
 * A number of a random test.
 *
 * @param usual in `npm test`
 * @param stress in `npm run stress`
 */
export const inStress = (usual: number, stress: number): number => (process.env.SPARK_STRESS ? stress : usual);

/** How often a random test does what it does: as {@link inStress}, or as often as SPARK_ROUNDS says. */
export const rounds = (usual: number, stress: number): number => {
  const { SPARK_ROUNDS: asked } = process.env;
  return asked ? Number(asked) : inStress(usual, stress);
};

// A run must end before its test does, so that it can say which history has failed.
const LONGEST = 840_000;

/**
 * Settings of a random test for `fc.assert`. What a failure prints runs it again: `SPARK_SEED=<seed> SPARK_PATH=<path>`.
 *
 * @param numRuns how many histories there are
 */
export function histories(numRuns: number) {
  const { SPARK_SEED: seed, SPARK_PATH: path } = process.env;
  return {
    numRuns,
    interruptAfterTimeLimit: LONGEST,
    markInterruptAsFailure: true,
    ...(seed && { seed: Number(seed) }),
    ...(path && { path }),
  };
}
