package rpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// healthEvery is how often the condition is looked at for those who watch it.
const healthEvery = time.Second

// health is grpc.health.v1.Health: SERVING means ready, for the node ("") and for each service alike. Its errors are
// those of its own specification.
type health struct {
	healthv1.UnimplementedHealthServer
	*Server
}

// Check implements grpc.health.v1.
func (h health) Check(_ context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if !h.isService(req.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthv1.HealthCheckResponse{Status: h.serving()}, nil
}

// List implements grpc.health.v1.
func (h health) List(context.Context, *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
	answer := &healthv1.HealthCheckResponse{Status: h.serving()}
	out := &healthv1.HealthListResponse{Statuses: map[string]*healthv1.HealthCheckResponse{"": answer}}
	for _, one := range h.services() {
		out.Statuses[one.desc.ServiceName] = answer
	}
	return out, nil
}

// Watch implements grpc.health.v1. It ends when the node stops.
func (h health) Watch(req *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for last := healthv1.HealthCheckResponse_UNKNOWN; ; {
		now := healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		if h.isService(req.GetService()) {
			now = h.serving()
		}
		if now != last {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-h.stopping:
			return shuttingDown()
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func (s *Server) serving() healthv1.HealthCheckResponse_ServingStatus {
	if s.condition().ready {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

// isService is true of the node as a whole, "", and of each service.
func (s *Server) isService(name string) bool {
	return name == "" || slices.ContainsFunc(s.services(), func(one published) bool { return one.desc.ServiceName == name })
}
