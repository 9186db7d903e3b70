/** A length of time: milliseconds, or text such as `'30s'`, `'5 minutes'`, `'2 days'`. */
export type Duration = number | string;
