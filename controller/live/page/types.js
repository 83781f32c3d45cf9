/**
 * What the fleet says of itself at /live/document, and what the page makes of it.
 *
 * All numbers are as of now or totals since the start of the controller. Times are seconds.
 *
 * @typedef {{buckets: number[], sum: number}} Histogram  Cumulative counts by upper bound, then of all.
 *
 * @typedef {object} ModelDocument
 * @property {string} state
 * @property {string} reason
 * @property {string} engine
 * @property {boolean} generates
 * @property {boolean} is_on_demand
 * @property {{latency_s: ?number, ttft_s: ?number, tpot_s: ?number}} objectives
 * @property {?number} target_attainment
 * @property {?number} predicted_attainment
 * @property {string[]} groups
 * @property {number} waiting
 * @property {number} running
 * @property {{answered: number, served: number, met: number, missed: number, retried: number,
 *   output_tokens: number, rejected: Record<string, number>,
 *   objectives: Record<string, [number, number]>}} counts
 * @property {Record<string, Histogram>} histograms
 *
 * @typedef {object} GroupDocument
 * @property {string} id
 * @property {boolean} is_open
 * @property {string} state
 * @property {number} num_restarts
 * @property {string} why
 * @property {string[]} devices
 * @property {number} tensor
 * @property {number} pipeline
 * @property {string[]} models
 * @property {number} in_flight
 * @property {number} waiting
 * @property {number} running
 * @property {number[]} stage_busy_s
 *
 * @typedef {object} DeviceDocument
 * @property {string} id
 * @property {string} type
 * @property {?string} group
 * @property {?number} stage
 * @property {number} usable_bytes
 * @property {?number} planned_bytes
 * @property {number} [used_bytes]
 * @property {number} [total_bytes]
 * @property {number} [busy_ratio]
 *
 * @typedef {{unix_s: number, kind: string, group: string, model: string, sentence: string}} EventDocument
 * @typedef {{model: string, reason: string, num: number, last_unix_s: number, words: string,
 *   meaning: string}} RefusedDocument
 *
 * @typedef {object} LiveDocument
 * @property {number} schema_version
 * @property {string} version
 * @property {number} unix_s
 * @property {number} started_unix_s
 * @property {string} fleet
 * @property {string} state
 * @property {number} uptime_s
 * @property {{id: string, algorithm: string}} plan
 * @property {number} num_pending
 * @property {string[]} problems
 * @property {string[]} drained
 * @property {{num_front_ends: number}} covers
 * @property {Record<string, number[]>} bounds
 * @property {{name: string, devices: DeviceDocument[]}[]} nodes
 * @property {GroupDocument[]} groups
 * @property {Record<string, ModelDocument>} models
 * @property {{events: EventDocument[], refused: RefusedDocument[],
 *   retried: {model: string, num: number, last_unix_s: number}[], num_requests: number,
 *   problem: string}} decisions
 *
 * @typedef {{value: number, isBeyond: boolean}} Quantile  isBeyond: it lies above the highest bound.
 * @typedef {{p50: ?Quantile, p99: ?Quantile, objective: ?number, share: ?number}} Latency
 *
 * @typedef {object} ModelMeasures
 * @property {string} name
 * @property {ModelDocument} document
 * @property {number} rate  Answered per second.
 * @property {number} notServedRate
 * @property {number} numAnswered
 * @property {number} numJudged
 * @property {?number} attainment
 * @property {Latency} latency
 * @property {?Latency} firstToken
 * @property {?Latency} eachToken
 * @property {?Quantile} ratio50
 * @property {?Quantile} ratio90
 * @property {number[]} rates  Of the last minutes, for a sparkline.
 *
 * @typedef {object} GroupMeasures
 * @property {GroupDocument} document
 * @property {number[]} utilisation  Of each stage, 0 to 1.
 *
 * @typedef {object} Measures
 * @property {number} seconds
 * @property {boolean} isSinceStart
 * @property {ModelMeasures[]} models
 * @property {GroupMeasures[]} groups
 * @property {{rate: number, notServedRate: number, attainment: ?number, rates: number[]}} fleet
 *
 * @typedef {'bad' | 'warn' | 'idle' | 'good'} Level
 * @typedef {{level: Level, words: string}} Verdict
 * @typedef {{level: Level, title: string, words: string, target: string}} Problem
 *
 * @typedef {object} View
 * @property {LiveDocument} document
 * @property {Measures} measures
 * @property {Map<string, Verdict>} verdicts  By model.
 * @property {Problem[]} problems
 */

export {};
