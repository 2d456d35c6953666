// Package telemetry turns what a node does into log lines, spans and metrics. Its one source for consensus is the notes
// of the core and the stages of the engine.
//
// It promises that nothing it does holds up the engine: spans and lines are written by goroutines of their own, and what
// those are too slow for is dropped and counted. Memory is bounded, and so is the number of label values: a label is a
// validator's name or one of a fixed set of words.
//
// # Traces
//
// A round is one trace across all validators, with nothing on the wire: its trace id is consensus.RoundTraceID, and
// whether it is kept is decided on the id. Each node adds one root span "round" (attributes cairn.round, cairn.epoch,
// cairn.leader, cairn.leads, cairn.reason: qc or tc, cairn.left_by, cairn.duration_ms, cairn.block, cairn.height) and
// below it propose, verify, execute, save, vote, collect, timeout and commit. The commit stands in the round of the block
// that is committed. The resource has service.name = cairn and service.instance.id = the node's name. A round that a
// node passes over still gets its spans, under a root with cairn.entered = false.
//
// # Metrics
//
// Histograms are in seconds and have the suffixes _bucket, _sum and _count. Besides these there are the metrics of the
// Go runtime (go_…), of the process (process_…), of the API's servers (http_server_…, rpc_server_…) and target_info,
// which carries the node's name, the chain and the version.
//
//	cairn_round                             gauge              the current round
//	cairn_round_duration_seconds            histogram reason   how long a round took, by what ended it: qc, tc
//	cairn_rounds_entered_total              counter   reason   rounds entered, by the certificate that let us in: qc, tc
//	cairn_rounds_expired_total              counter            rounds whose time was over
//	cairn_rebroadcasts_total                counter            times that a timeout, or sync info alone, went out again
//	cairn_timeouts_total                    counter   outcome  our own timeouts: signed, refused
//	cairn_timeouts_counted_total            counter   validator timeouts of the current round that came in
//	cairn_proposals_total                   counter   outcome  proposals: signed, accepted, held, rejected
//	cairn_votes_total                       counter   outcome  our own votes: signed, held, refused
//	cairn_votes_counted_total               counter   validator votes that came in
//	cairn_executions_refused_total          counter            blocks that the application called invalid
//	cairn_certificates_formed_total         counter   kind     certificates formed here: qc, tc
//	cairn_block_age_seconds                 histogram stage    age of a block, from its timestamp, when it was received,
//	                                                           executed, voted, certified, committed; the latest blocks only
//	cairn_stage_duration_seconds            histogram stage    the engine's slow work: verify, gather (transactions of a
//	                                                           proposal that the mempool lacked), build, execute, save
//	                                                           (the durable write before messages leave), commit
//	cairn_committed_height                  gauge              height of the last committed block
//	cairn_committed_round                   gauge              its round
//	cairn_committed_blocks_total            counter   empty    blocks committed: true, false
//	cairn_committed_transactions_total      counter            transactions in them
//	cairn_equivocations_total               counter   kind     validators caught: proposal, vote, timeout
//	cairn_signed_elsewhere_total            counter            signatures of our key that we did not make: we sign no more
//	cairn_messages_dropped_total            counter   kind     messages of no use: proposal, vote, timeout
//	cairn_fetches_total                     counter   outcome  requests for blocks: started, ended, failed
//	cairn_fetched_blocks_total              counter            blocks that were new among those fetched
//	cairn_peers_helped_total                counter            times that a peer behind us was sent our certificates
//	cairn_tree_blocks                       gauge              uncommitted blocks in the tree
//	cairn_high_qc_round                     gauge              round of the high QC
//	cairn_last_voted_round                  gauge              the last round that we voted in or gave up
//	cairn_expiries_since_certificate        gauge              3 or more: the chain is stalled; an idle one shows 0
//	cairn_fetch_target_height               gauge              height that a fetch under way leads to, else 0
//	cairn_store_height                      gauge              height of the last block that is durable
//	cairn_disk_free_bytes                   gauge              bytes that are free on the disk of the home
//	cairn_disk_low                          gauge              1 while that is below storage.reserve: the node signs and takes nothing
//	cairn_mempool_transactions              gauge     state    transactions held: ready, parked
//	cairn_mempool_size_bytes                gauge              their bytes
//	cairn_mempool_accounts                  gauge              their senders
//	cairn_peers_connected                   gauge              peers that messages can reach
//	cairn_peer_connected                    gauge     peer     1 when messages can reach it
//	cairn_peer_messages_sent_total          counter   peer     consensus messages given to its connection
//	cairn_peer_messages_received_total      counter   peer     consensus messages of its that could be read
//	cairn_peer_messages_dropped_total       counter   peer     consensus messages not sent: queue full, or it was away
//	cairn_peer_fetched_bytes_total          counter   peer     bytes of its proposals' transactions that we fetched
//	cairn_peer_notes_total                  counter   kind     notes of the validator network: up, down, refused, stranger,
//	                                                           rejected; those left out by its own limit are counted
//	cairn_share_batches_total               counter   outcome  batches shared with other validators: sent, resent
//	cairn_share_transactions_total          counter   outcome  transactions in them, once per peer: sent, resent; and
//	                                                           what the peer answered: accepted, retry
//	cairn_share_arrived_transactions_total  counter   outcome  transactions shared with us: accepted, retry
//	cairn_share_streams_total               counter   outcome  streams that we share on: up, down
//	cairn_share_behind                      gauge     peer     ready transactions of our clients that it has not acknowledged
//	cairn_body_bytes_total                  counter   cause    bytes of transactions given to the connections with peers:
//	                                                           share, resend, proposal, fetch
//	cairn_upstream_followed_total           counter            of a listener: times that the stream of an upstream began
//	cairn_upstream_left_total               counter   reason   times that an upstream was left alone: behind, unreachable, silent, lie
//	cairn_upstream_calls_total              counter   outcome  calls of clients that were handed on: answered, unreachable
//	cairn_upstream_up                       gauge              1 while an upstream is followed
//	cairn_upstream_target_height            gauge              the highest height that a verified certificate commits
//	cairn_api_streams                       gauge              streams of the public API that are open, also those through the gateway
//	cairn_spans_total                       counter   outcome  spans: exported, failed, dropped
//	cairn_log_lines_total                   counter   outcome  lines of events: written, suppressed, dropped
package telemetry
